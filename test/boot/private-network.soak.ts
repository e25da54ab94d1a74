/** Two default guests, each in a process of its own, on one network: they find each other by name, and one that was killed is gone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { type Run, virts, virtsWithin } from '../../src/cli/virts.test-helper.ts';
import { plain } from './guest-session.ts';

/** More than it takes on a very busy host. */
const TIMEOUT_MS = 900_000;

interface Guest {
  readonly run: Run;
  /** Types a command and returns what it says. */
  command(line: string): Promise<string>;
}

const guests: Guest[] = [];
after(() => {
  for (const { run } of guests) run.process.kill('SIGKILL');
});

function start(name: string, ...more: readonly string[]): Guest {
  const run = virtsWithin(TIMEOUT_MS, 'run', '--network', 'inner', '--name', name, '--memory', '256M', ...more);
  let output = '';
  run.process.stdout?.on('data', (bytes: Buffer) => {
    output += bytes.toString('latin1');
  });
  let asked = 0;
  const guest: Guest = {
    run,
    async command(line) {
      const from = output.length;
      asked++;
      // What is typed comes back as it is typed.
      run.process.stdin?.write(`${line}; echo "EN""D"${asked}\n`);
      await run.said(new RegExp(`END${asked}\\r?\\n`));
      const text = plain(output.slice(from));
      return text.slice(text.indexOf('\n') + 1, text.lastIndexOf(`END${asked}`));
    },
  };
  guests.push(guest);
  return guest;
}

test('two guests ping and fetch from each other by name, and one that was killed is gone', {
  timeout: TIMEOUT_MS,
}, async () => {
  assert.equal((await virts('network', 'create', 'inner').ended).status, 0);
  const [web, client] = [start('web'), start('client', '--net', 'none')];
  await Promise.all([web, client].map(({ run }) => run.said(/virts# /)));
  for (const { command } of [web, client]) {
    const address = await command('until ip addr show eth0 | grep "inet 10"; do sleep 1; done');
    assert.match(address, /inet 10\.0\.2\./);
  }
  await web.command('mkdir /www; head -c 2000000 /dev/urandom >/www/file; httpd -h /www');
  const sum = await web.command('md5sum </www/file');
  assert.match(sum, /^[0-9a-f]{32} /);
  assert.match(await client.command('ping -c 1 web'), /1 packets received/);
  assert.match(await web.command('ping -c 1 client.virts.internal'), /1 packets received/);
  assert.equal(await client.command('wget -q -O - http://web/file | md5sum'), sum);
  assert.match(await client.command('ping -c 1 -W 1 nobody || echo none'), /bad address[\s\S]*none/);
  web.run.process.kill('SIGKILL');
  await once(web.run.process, 'exit');
  assert.match(await client.command('ping -c 1 -W 1 web || echo none'), /bad address[\s\S]*none/);
  const listed = JSON.parse((await virts('network', 'ls', '--json').ended).stdout);
  assert.deepEqual(
    listed[0].machines.map(({ name }: { name: string }) => name),
    ['client'],
  );
});
