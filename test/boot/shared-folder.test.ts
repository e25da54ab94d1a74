/**
 * The default guest with folders of the host: a tree of source is copied from one that can only be read into another, and is there as it
 * was; and what the guest's memory held goes back to the host. Part of the soak: `VIRTS_FOLDERS=1`.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { virtsWithin } from '../../src/cli/virts.test-helper.ts';

/** More than it takes on a very busy host. */
const TIMEOUT_MS = 900_000;

const directory = fs.mkdtempSync(join(tmpdir(), 'virts-boot-'));
after(() => fs.rmSync(directory, { recursive: true }));

/** Names, modes and contents of everything below a directory. */
function tree(root: string): string[] {
  return fs
    .readdirSync(root, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const path = join(root, name);
      const status = fs.lstatSync(path);
      const content = status.isSymbolicLink()
        ? fs.readlinkSync(path)
        : status.isFile()
          ? fs.readFileSync(path, 'latin1')
          : '';
      const time = status.isFile() ? Math.floor(status.mtimeMs / 1000) : 0;
      return `${name} ${status.mode.toString(8)} ${time} ${content}`;
    });
}

/** Files of all lengths, programs, links, a directory of many entries. */
function makeTree(root: string): void {
  for (let d = 0; d < 5; d++) {
    const path = join(root, `d${d}`, 'sub');
    fs.mkdirSync(path, { recursive: true });
    for (let f = 0; f < 9; f++) fs.writeFileSync(join(path, `file ${f}.c`), `${d} ${f}\n`.repeat(3 ** (f % 9)));
    fs.writeFileSync(join(path, 'run'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    fs.symlinkSync('../sub/run', join(path, 'link'));
    fs.utimesSync(join(path, 'run'), 1_000_000_000 + d, 1_000_000_000 + d);
  }
  fs.mkdirSync(join(root, 'many'));
  for (let i = 0; i < 150; i++) fs.writeFileSync(join(root, 'many', `entry-${i}`), '');
}

const COMMANDS = [
  'tar c -C /from . | tar x -C /work/to',
  'diff -r /from /work/to && echo "the same"',
  '[ "$(ls /work/to/many | wc -l)" = 150 ] && echo "all entries"',
  '/work/to/d3/sub/link',
  'cp /bin/busybox /work/busybox && /work/busybox echo "mapped"',
  'echo x >/from/x; ls -d /from/x',
  'cd /work; echo one >a; ln a b; mv b c; chown 1000:100 c; chmod 4711 c; stat -c "%a %u %g %h" a; ln -s /etc/passwd p; head -c 4 p; echo',
  'exec 3<>c; rm a c; echo two >&3; cat /proc/self/fd/3; exec 3>&-; ls; cd /',
];

test('a tree of source goes from one folder into another', {
  timeout: TIMEOUT_MS,
  skip: process.env.VIRTS_FOLDERS === undefined,
}, async () => {
  const [from, work] = [join(directory, 'from'), join(directory, 'work')];
  makeTree(from);
  fs.mkdirSync(join(work, 'to'), { recursive: true });
  const run = virtsWithin(TIMEOUT_MS, 'run', '-v', `${from}:/from:ro`, '-v', `${work}:/work`);
  await run.said(/virts# /);
  run.process.stdin?.write(`${COMMANDS.join('\n')}\necho do''ne\n`);
  await run.said(/\bdone\r?\n/);
  const resident = () => Number(fs.readFileSync(`/proc/${run.process.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
  run.process.stdin?.write("dd if=/dev/zero of=/dev/shm/x bs=1M count=200; echo fil''led\n");
  await run.said(/\bfilled\r?\n/);
  const full = resident();
  run.process.stdin?.write('rm /dev/shm/x\n');
  // The guest reports two seconds later.
  while (full - resident() < 150 * 2 ** 20) await setTimeout(100);
  run.process.stdin?.write('poweroff\n');
  const { stdout, status } = await run.ended;
  assert.equal(status, 0, stdout.slice(-2000));
  const said = stdout.replaceAll('\r', '');
  for (const line of ['the same', 'all entries', 'ran', 'mapped', '4711 1000 100 2', 'root', 'two']) {
    assert.match(said, new RegExp(`^${line}$`, 'm'), said.slice(-4000));
  }
  assert.match(said, /can't create \/from\/x: Read-only file system/);
  assert.deepEqual(tree(join(work, 'to')), tree(from));
  assert.deepEqual(fs.readdirSync(work).toSorted(), ['busybox', 'p', 'to']);
  assert.equal(fs.statSync(join(work, 'busybox')).uid, process.getuid!());
});
