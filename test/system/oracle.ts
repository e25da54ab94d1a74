/**
 * Runs the test programs on other x86 machines and compares with the same expectations, so that those are proven by what
 * shares nothing with Virts: `npm run test:oracle [-- [--tcg | --kvm] [part of a name…]]`. It needs nasm and Bochs, which
 * knows segments, tasks, privilege and debugging exactly; where it errs, the programs say so. With an option QEMU takes its
 * place, for a second opinion only: TCG leaves out limits, alignment checks and more, and KVM is no better than the host's
 * virtualisation.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, exit, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expected, type Outcome } from './compare.ts';
import { bochsLog } from './header.ts';
import { runOnBochs } from './oracle-bochs.ts';
import { runOnQemu } from './oracle-qemu.ts';
import { type Program, RUNTIME, readImages, readPrograms } from './programs.ts';

const ORACLES = ['bochs', 'tcg', 'kvm'] as const;
type Oracle = (typeof ORACLES)[number];

const RUN: Record<Oracle, (rom: string, directory: string) => Promise<Outcome>> = {
  bochs: runOnBochs,
  tcg: (rom, directory) => runOnQemu(rom, directory, 'tcg'),
  kvm: (rom, directory) => runOnQemu(rom, directory, 'kvm'),
};

/** Makes the firmware that starts `image`; returns its path. */
function makeRom(image: Uint8Array, directory: string): string {
  const program = join(directory, 'program');
  const rom = join(directory, 'rom');
  writeFileSync(program, image);
  const include = fileURLToPath(RUNTIME);
  execFileSync('nasm', ['-f', 'bin', `-i${include}`, `-dPROGRAM="${program}"`, '-o', rom, join(include, 'rom.asm')]);
  return rom;
}

function report(name: string, actual: readonly string[], wanted: readonly string[]): boolean {
  const same = actual.join('\n') === wanted.join('\n');
  stdout.write(`${same ? 'ok     ' : 'DIFFERS'} ${name}\n`);
  if (same) return true;
  for (let i = 0; i < Math.max(actual.length, wanted.length); i++) {
    const [is, should] = [actual[i] ?? '', wanted[i] ?? ''];
    stdout.write(`  ${is === should ? ' ' : '!'} ${should.padEnd(44)} ${is}\n`);
  }
  return false;
}

async function check(program: Program, image: Uint8Array, oracle: Oracle): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'oracle-'));
  try {
    const outcome = await RUN[oracle](makeRom(image, directory), directory);
    const wanted = expected(program.header, oracle === 'bochs' ? bochsLog(program.header) : program.header.log);
    // Without the recorder's memory only the end can be compared.
    const seen = outcome.memory === undefined ? wanted.slice(0, 1) : wanted;
    return report(program.name, describe(program.header, outcome), seen);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function main(): Promise<number> {
  const names = argv.slice(2).filter((argument) => !argument.startsWith('--'));
  const oracle = ORACLES.find((candidate) => argv.includes(`--${candidate}`)) ?? 'bochs';
  stdout.write(`Oracle: ${oracle}; expected left, found right.\n`);
  const images = readImages();
  let differing = 0;
  for (const program of readPrograms()) {
    if (names.length > 0 && !names.some((name) => program.name.includes(name))) continue;
    const image = Buffer.from(images[program.name].image, 'base64');
    if (!(await check(program, image, oracle))) differing++;
  }
  stdout.write(`${differing} programs differ.\n`);
  return differing === 0 ? 0 : 1;
}

exit(await main());
