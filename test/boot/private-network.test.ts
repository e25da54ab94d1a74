/** Two default guests, each in a process of its own, on one network: they find each other by name, whoever serves it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Run, virts } from '../../src/cli/virts.test-helper.ts';
import { plain } from './guest-session.ts';

const state = mkdtempSync(join(tmpdir(), 'virts-test-'));
process.env.XDG_STATE_HOME = state;
const guests: Run[] = [];
after(() => {
  for (const { process: child } of guests) child.kill('SIGKILL');
  rmSync(state, { recursive: true });
});

let asked = 0;

/** Types a command and returns what it says. */
async function command(guest: Run, line: string): Promise<string> {
  const from = guest.output().length;
  asked++;
  // What is typed comes back as it is typed.
  guest.process.stdin!.write(`${line}; echo "EN""D"${asked}\n`);
  await guest.said(new RegExp(`END${asked}\\r?\\n`));
  const text = plain(guest.output().slice(from));
  return text.slice(text.indexOf('\n') + 1, text.lastIndexOf(`END${asked}`));
}

function start(name: string, ...more: readonly string[]): Run {
  const guest = virts('run', '--network', 'inner', '--name', name, '--memory', '256M', ...more);
  guests.push(guest);
  return guest;
}

test('two guests ping and fetch from each other by name, and go on when the one that serves is killed', async () => {
  assert.equal((await virts('network', 'create', 'inner').ended).status, 0);
  const web = start('web');
  // The first one serves the switch.
  await web.said(/virts# /);
  const client = start('client', '--net', 'none');
  await client.said(/virts# /);
  for (const guest of [web, client]) {
    assert.match(await command(guest, 'until ip addr show eth0 | grep "inet 10"; do sleep 1; done'), /inet 10\.0\.2\./);
  }
  await command(web, 'mkdir /www; head -c 2000000 /dev/urandom >/www/file; httpd -h /www');
  const sum = await command(web, 'md5sum </www/file');
  assert.match(await command(client, 'ping -c 2 web'), /2 packets received/);
  assert.match(await command(web, 'ping -c 2 client.virts.internal'), /2 packets received/);
  assert.equal(await command(client, 'wget -q -O - http://web/file | md5sum'), sum);
  assert.match(await command(client, 'ping -c 1 -W 1 nobody || echo none'), /bad address[\s\S]*none/);
  web.process.kill('SIGKILL');
  await once(web.process, 'exit');
  // Name and place on the network are free at once, and the other guest has them again.
  const again = start('web', '--net', 'none');
  await again.said(/virts# /);
  assert.match(await command(again, 'until ping -c 1 client; do sleep 1; done'), /1 packets received/);
  const listed = JSON.parse((await virts('network', 'ls', '--json').ended).stdout);
  assert.deepEqual(
    listed[0].machines.map(({ name }: { name: string }) => name),
    ['client', 'web'],
  );
});
