import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createNetwork, joinNetwork, listNetworks, removeNetwork } from './networks.ts';

const root = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(root, { recursive: true }));
let count = 0;
const newBase = () => join(root, `${count++}`, 'networks');

test('networks are made, listed and removed', () => {
  const base = newBase();
  assert.deepEqual(listNetworks(base), []);
  assert.equal(createNetwork(base, 'Back-End'), 'back-end');
  createNetwork(base, 'web');
  assert.deepEqual(
    listNetworks(base).map(({ name, machines }) => [name, machines]),
    [
      ['back-end', []],
      ['web', []],
    ],
  );
  assert.throws(() => createNetwork(base, 'web'), { kind: 'usage', message: /already/ });
  for (const name of ['', '.', '..', 'a/b', '-x', 'x'.repeat(64)]) {
    assert.throws(() => createNetwork(base, name), { kind: 'usage' }, name);
    assert.throws(() => removeNetwork(base, name), { kind: 'usage' }, name);
    assert.throws(() => joinNetwork(base, name, 'a'), { kind: 'usage' }, name);
  }
  removeNetwork(base, 'web');
  assert.throws(() => removeNetwork(base, 'web'), { kind: 'not-found', message: /virts network create web/ });
  assert.throws(() => joinNetwork(base, 'web', 'a'), { kind: 'not-found' });
  assert.equal(listNetworks(base).length, 1);
});

test('each machine has a name and an address of its own, for as long as it is there', () => {
  const base = newBase();
  createNetwork(base, 'net');
  createNetwork(base, 'other');
  const web = joinNetwork(base, 'net', 'Web');
  const db = joinNetwork(base, 'net', 'db');
  assert.notEqual(web.address, db.address);
  assert.notEqual(web.mac, db.mac);
  assert.deepEqual([web.find('db'), db.find('web'), web.find('web')], [[db.address], [web.address], [web.address]]);
  for (const name of ['nobody', '../net', '', 'a/b']) assert.equal(web.find(name), undefined);
  assert.throws(() => joinNetwork(base, 'net', 'web'), { kind: 'usage', message: /--name/ });
  for (const name of ['gateway', 'localhost', '..']) {
    assert.throws(() => joinNetwork(base, 'net', name), { kind: 'usage' }, name);
  }
  const elsewhere = joinNetwork(base, 'other', 'web');
  assert.equal(elsewhere.find('db'), undefined, 'networks know nothing of each other');
  assert.throws(() => removeNetwork(base, 'net'), { kind: 'usage', message: /in use by db, web/ });
  assert.equal(listNetworks(base)[0]!.machines.length, 2, 'the attempt changed nothing');
  const { address } = web;
  web.leave();
  assert.equal(db.find('web'), undefined);
  const again = joinNetwork(base, 'net', 'web');
  assert.equal(again.address, address, 'who comes back has its address again');
  again.leave();
  db.leave();
  elsewhere.leave();
  removeNetwork(base, 'net');
});

test('a network takes as many machines as it has addresses', () => {
  const base = newBase();
  createNetwork(base, 'net');
  const all = Array.from({ length: 240 }, (_, i) => joinNetwork(base, 'net', `m${i}`));
  assert.equal(new Set(all.map(({ address }) => address)).size, 240);
  assert.throws(() => joinNetwork(base, 'net', 'more'), { kind: 'usage', message: /full/ });
  all[7]!.leave();
  assert.equal(joinNetwork(base, 'net', 'more').address, all[7]!.address);
});

test('a killed process leaves neither name nor address behind', async () => {
  const base = newBase();
  createNetwork(base, 'net');
  const script = `const { joinNetwork } = await import(${JSON.stringify(new URL('networks.ts', import.meta.url).href)});
    joinNetwork(${JSON.stringify(base)}, 'net', 'web'); console.log('joined'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const { machines } = listNetworks(base)[0]!;
  assert.deepEqual([machines[0]!.name, machines[0]!.pid], ['web', child.pid]);
  assert.throws(() => joinNetwork(base, 'net', 'web'), { kind: 'usage' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.deepEqual(listNetworks(base)[0]!.machines, []);
  const web = joinNetwork(base, 'net', 'web');
  assert.equal(web.address, machines[0]!.address);
  web.leave();
  removeNetwork(base, 'net');
});
