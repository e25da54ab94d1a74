/**
 * A tree of 5,000 files in a folder of the host, as a guest's programs use it: tar unpacks it, git keeps it and says what changed, make
 * builds what is out of date and nothing else. Then the host's own git looks at what the guest's left.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { orderEntries } from '../../bench/image.ts';
import { packageEntries } from '../../bench/package-files.ts';
import { virtsWithin } from '../../src/cli/virts.test-helper.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { defaultGuest } from '../../src/images/default-guest.ts';
import { writeCpio } from '../../src/images/initramfs/cpio.ts';

/** More than it takes on a very busy host. */
const TIMEOUT_MS = 1_500_000;
const DIRECTORIES = 50;
const FILES = 100;

const directory = fs.mkdtempSync(join(tmpdir(), 'virts-boot-'));
after(() => fs.rmSync(directory, { recursive: true }));
const work = join(directory, 'work');
const tree = join(work, 'tree');

const contentOf = (d: number, f: number) => `/* ${d} ${f} */\n`.repeat(1 + ((d * FILES + f) % 97));
const names = Array.from({ length: DIRECTORIES * FILES }, (_, i) => {
  const [d, f] = [Math.floor(i / FILES), i % FILES];
  return { name: `part${d}/file${f}.c`, content: contentOf(d, f) };
});

const MAKEFILE = `PARTS := $(patsubst %/,%/sum,$(sort $(wildcard part*/)))
all: $(PARTS)
.SECONDEXPANSION:
part%/sum: $$(sort $$(wildcard part%/*.c))
\t@echo building $@
\t@cat $^ | md5sum >$@
`;

/** The tree as an archive in the folder that the guest gets. */
function pack(): void {
  const source = join(directory, 'source', 'tree');
  for (let d = 0; d < DIRECTORIES; d++) fs.mkdirSync(join(source, `part${d}`), { recursive: true });
  for (const { name, content } of names) fs.writeFileSync(join(source, name), content);
  fs.writeFileSync(join(source, 'Makefile'), MAKEFILE);
  fs.writeFileSync(join(source, '.gitignore'), 'sum\n');
  fs.mkdirSync(work);
  execFileSync('tar', ['cf', join(work, 'tree.tar'), '-C', join(directory, 'source'), 'tree']);
}

/** Needed to install, or for what this does not use. */
const WITHOUT = new Set(['perl', 'liberror-perl', 'git-man', 'libcurl3-gnutls', 'debconf', 'dpkg']);
const WANTED = /^(usr\/)?(bin\/(git|make)$|lib(64)?\/(x86_64-linux-gnu\/)?[^/]+\.so[^/]*$)/;

/** The default guest with git and make. */
async function guestFiles() {
  const options = { cache: cacheDirectory(), progress: SILENT, signal: new AbortController().signal };
  const guest = await defaultGuest(options);
  const choice = { names: ['git', 'make'], without: WITHOUT, wanted: (path: string) => WANTED.test(path) };
  const { entries } = await packageEntries(options, choice);
  const links = ['lib64', 'lib/x86_64-linux-gnu'].map((at) => ({
    ...{ type: 'symlink', path: at, target: `/usr/${at}` },
  }));
  const initrd = join(directory, 'initrd');
  const more = writeCpio(orderEntries([...entries, ...(links as typeof entries)]));
  fs.writeFileSync(initrd, Buffer.concat([fs.readFileSync(guest.initrd), more]));
  return { ...guest, initrd };
}

const COMMANDS = [
  'export PATH=$PATH:/usr/bin HOME=/tmp GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=guest',
  'export GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=guest@example.invalid',
  'mkdir -p /work; grep -q " /work " /proc/mounts || mount -t virtiofs folder0 /work; cd /work',
  'tar xf tree.tar && cd tree && echo "unpacked: $(find . -name "*.c" | wc -l)"',
  'git init -q && git add -A && git commit -qm all && echo "clean: $(git status --porcelain | wc -l)"',
  'make >/tmp/made && echo "built: $(wc -l </tmp/made)"',
  'make -q && echo "up to date: yes"',
  'echo changed >>part7/file3.c; rm part9/file0.c; echo "status: $(git status --porcelain | tr "\\n" ";")"',
  'touch part11/file5.c; echo "again: $(make | tr "\\n" ";")"',
  'git diff --stat | cat; git fsck --full && echo "sound: yes"',
];

test('a source tree is unpacked, kept by git and built in a shared folder', { timeout: TIMEOUT_MS }, async () => {
  pack();
  const guest = await guestFiles();
  const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--append', guest.append];
  const run = virtsWithin(TIMEOUT_MS, 'run', ...boot, '--net', 'none', '--memory', '1G', '-v', `${work}:/work`);
  await run.said(/virts# /);
  run.process.stdin?.write(`${COMMANDS.join('\n')}\necho do''ne\n`);
  await run.said(/\bdone\r?\n/);
  run.process.stdin?.write('cd /; umount /work; poweroff\n');
  const { stdout, status } = await run.ended;
  assert.equal(status, 0, stdout.slice(-2000));
  const said = stdout.replaceAll('\r', '');
  for (const line of [
    `unpacked: ${names.length}`,
    'clean: 0',
    `built: ${DIRECTORIES}`,
    'up to date: yes',
    'status:  M part7/file3.c; D part9/file0.c;',
    'again: building part11/sum;building part7/sum;',
    'sound: yes',
  ]) {
    assert.ok(said.includes(`\n${line}\n`), `${line}\n${said.slice(-6000)}`);
  }
  for (const { name, content } of names) {
    if (name === 'part9/file0.c') continue;
    const expected = name === 'part7/file3.c' ? `${content}changed\n` : content;
    assert.equal(fs.readFileSync(join(tree, name), 'utf8'), expected, name);
  }
  const git = (...args: readonly string[]) => execFileSync('git', ['-C', tree, ...args], { encoding: 'utf8' });
  assert.equal(git('status', '--porcelain'), ' M part7/file3.c\n D part9/file0.c\n');
  git('fsck', '--full');
});
