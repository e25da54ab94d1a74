/** Copies a directory into a guest, builds it there while its output is shown, and copies the result out. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Machine } from 'virts';

const project = await mkdtemp(join(tmpdir(), 'project-'));
await writeFile(join(project, 'names'), 'world\nmoon\n');
await writeFile(
  join(project, 'build.sh'),
  'set -e\nmkdir -p out\nwhile read name; do echo "greeting the $name"; echo "Hello, $name!" >>out/greetings; done <names\n',
);

{
  await using machine = await Machine.start({ image: 'debian', memory: '512M' });
  await machine.copyIn(project, '/root/project');

  const build = await machine.spawn(['sh', 'build.sh'], { cwd: '/root/project' });
  await build.stdin.close();
  void build.stderr.cancel();
  for await (const bytes of build.stdout) process.stdout.write(bytes);
  const { exitCode } = await build.exited;
  console.log(`The build ended with ${exitCode}`);

  await machine.copyOut('/root/project/out', project);
  // Shuts the guest down; without it, leaving this block pulls the plug.
  await machine.stop();
}
console.log((await readFile(join(project, 'out/greetings'), 'utf8')).trim());
await rm(project, { recursive: true });
