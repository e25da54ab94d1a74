/** Assembles the system test programs with nasm into `test/system/programs.json`. Only what changed is done anew. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exit, stderr, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import {
  type AssembledProgram,
  IMAGES,
  type Program,
  RUNTIME,
  readImages,
  readPrograms,
  SOURCES,
  sourceHash,
} from '../test/system/programs.ts';

function assemble(program: Program, directory: string): string {
  const output = join(directory, 'image');
  const source = fileURLToPath(new URL(`${program.name}.asm`, SOURCES));
  const include = fileURLToPath(RUNTIME);
  execFileSync(
    'nasm',
    ['-f', 'bin', '-w+error', `-i${include}`, `-dSTART_${program.header.mode}`, '-o', output, source],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  return readFileSync(output).toString('base64');
}

function main(): number {
  const before = existsSync(IMAGES) ? readImages() : {};
  const images: Record<string, AssembledProgram> = {};
  const directory = mkdtempSync(join(tmpdir(), 'assemble-'));
  let failed = 0;
  try {
    for (const program of readPrograms()) {
      const source = sourceHash(program);
      const known = before[program.name];
      try {
        images[program.name] = known?.source === source ? known : { source, image: assemble(program, directory) };
      } catch {
        stderr.write(`${program.name} was not assembled.\n`);
        failed++;
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  writeFileSync(IMAGES, `${JSON.stringify(images, undefined, 2)}\n`);
  stdout.write(`${Object.keys(images).length} programs in ${fileURLToPath(IMAGES)}\n`);
  return failed === 0 ? 0 : 1;
}

exit(main());
