/**
 * A day with Debian: what a user of `virts run debian` does, with the commands that the user types. Takes ten minutes or so, and
 * needs git and ssh on the host. `npm run soak:debian` runs it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { freePort, type Result, virtsWithin } from '../../src/cli/virts.test-helper.ts';
import { numbers } from '../smp/threaded.ts';

const run = promisify(execFile);
const MINUTE = 60_000;
const directory = mkdtempSync(join(tmpdir(), 'virts-debian-'));
const children: ChildProcess[] = [];
const [http, ssh] = [await freePort(), await freePort()];

/** Runs `virts` and fails unless it ends well. */
async function virts(...args: string[]): Promise<Result> {
  const result = await virtsWithin(15 * MINUTE, ...args).ended;
  assert.equal(result.status, 0, `virts ${args.join(' ')}: ${result.stderr}${result.stdout.slice(-4000)}`);
  return result;
}

let failed = false;

/** A test that makes sense only if those before it passed. */
const step = (name: string, work: (t: TestContext) => Promise<void>): Promise<void> =>
  test(name, async (t) => {
    if (failed) return t.skip('a step before this one failed');
    failed = true;
    await work(t);
    failed = false;
  });

const inGuest = async (name: string, script: string): Promise<string> =>
  (await virts('exec', name, 'sh', '-ec', script)).stdout.trim();

after(async () => {
  await virts('rm', '-f', 'web', 'client').catch(() => {});
  await virts('network', 'rm', 'inner').catch(() => {});
  for (const child of children) child.kill();
  rmSync(directory, { recursive: true });
});

step('two machines of the image come up with systemd', async (t) => {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'key')]);
  await virts('network', 'create', 'inner');
  const ports = ['-p', `${http}:80`, '-p', `${ssh}:22`, '--net-host'];
  const common = ['run', '-d', '--network', 'inner', '--memory', '1G'];
  const started = performance.now();
  await virts(...common, ...ports, '--name', 'web', 'debian');
  assert.match(await inGuest('web', 'systemctl is-system-running --wait || true'), /^running$/);
  t.diagnostic(`systemd is done after ${Math.round((performance.now() - started) / 1000)} s`);
  await virts(...common, '--name', 'client', 'debian');
  assert.match(await inGuest('client', 'systemctl is-system-running --wait || true'), /^running$/);
});

step('apt installs nginx, whose page comes through a forwarded port', async () => {
  await inGuest('web', 'apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y nginx git');
  const page = await fetch(`http://127.0.0.1:${http}/`);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /Welcome to nginx/);
});

step('ssh comes in through a forwarded port', async () => {
  await virts('cp', join(directory, 'key.pub'), 'web:/root/.ssh/authorized_keys');
  const options = ['StrictHostKeyChecking=no', `UserKnownHostsFile=${join(directory, 'hosts')}`, 'IdentitiesOnly=yes'];
  const args = ['-F', 'none', '-p', `${ssh}`, '-i', join(directory, 'key'), ...options.flatMap((text) => ['-o', text])];
  const { stdout } = await run('ssh', [...args, 'root@127.0.0.1', 'hostname; systemctl is-active ssh']);
  assert.match(stdout, /\nactive\n$/);
});

step('a repository of 100 MB, served from the host, is cloned whole', async () => {
  const work = join(directory, 'repository');
  const git = (...args: string[]) =>
    run('git', ['-C', work, '-c', 'user.name=me', '-c', 'user.email=me@example.org', ...args]);
  await run('git', ['init', '-q', work]);
  const random = numbers(1);
  for (let file = 0; file < 100; file++) {
    writeFileSync(
      join(work, `file-${file}`),
      Uint32Array.from({ length: 1 << 18 }, () => random(2 ** 32)),
    );
  }
  await git('add', '.');
  await git('commit', '-q', '-m', 'noise');
  const port = await freePort();
  const daemon = spawn('git', [
    'daemon',
    '--export-all',
    '--listen=127.0.0.1',
    `--port=${port}`,
    '--verbose',
    `--base-path=${directory}`,
  ]);
  children.push(daemon);
  await once(daemon.stderr, 'data');
  await inGuest(
    'web',
    `git clone -q git://10.0.2.2:${port}/repository/.git /root/clone && git -C /root/clone fsck --full`,
  );
  const list = 'cd $0 && sha256sum file-* | sort';
  const sums = (await run('sh', ['-c', list, work])).stdout.trim();
  assert.equal(await inGuest('web', list.replace('$0', '/root/clone')), sums);
});

step('the machines reach each other by name', async () => {
  assert.match(await inGuest('client', 'getent hosts web && ping -c 3 web'), / 0% packet loss/);
  const fetchPage = `perl -MIO::Socket -e '$s = IO::Socket::INET->new("web:80") or die $@; print $s "GET / HTTP/1.0\\r\\n\\r\\n"; print <$s>'`;
  assert.match(await inGuest('client', fetchPage), /Welcome to nginx/);
});

step('stopped cleanly, a machine starts again with what it had', async () => {
  await virts('stop', 'web');
  await virts('start', 'web');
  assert.match(
    await inGuest('web', 'systemctl is-system-running --wait || true; systemctl is-active nginx'),
    /^running\nactive$/,
  );
  assert.equal((await fetch(`http://127.0.0.1:${http}/`)).status, 200);
});
