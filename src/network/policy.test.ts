import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPolicy, isHostRule } from './policy.ts';

const rig = (...hosts: string[]) => {
  const time = { now: 0 };
  return { time, policy: createPolicy({ kind: 'listed', hosts }, () => time.now) };
};

test('names are exact, or all below one', () => {
  const { policy } = rig('Example.com.', '*.example.org');
  for (const name of ['example.com', 'a.example.org', 'b.a.example.org']) assert.ok(policy.mayResolve(name), name);
  for (const name of ['www.example.com', 'example.org', 'badexample.org', 'example.com.evil.net', '']) {
    assert.ok(!policy.mayResolve(name), name);
  }
});

test('an address is open once a name led to it, and for as long as that holds', () => {
  const { policy, time } = rig('example.com');
  assert.ok(!policy.mayReach('203.0.113.7'));
  policy.resolved(['203.0.113.7'], 5);
  assert.ok(policy.mayReach('203.0.113.7'));
  assert.ok(!policy.mayReach('203.0.113.8'));
  time.now = 599e9;
  assert.ok(policy.mayReach('203.0.113.7'), 'connections may be made again for a while');
  time.now = 601e9;
  assert.ok(!policy.mayReach('203.0.113.7'));
  assert.equal(policy.opened, 0);
});

test('a name cannot open the host, its neighbours on the link, or groups', () => {
  const { policy } = rig('example.com');
  policy.resolved(['127.0.0.1', '::1', '169.254.169.254', '224.0.0.1', '64:ff9b::7f00:1'], 100);
  assert.equal(policy.opened, 0);
});

test('the list of open addresses is bounded', () => {
  const { policy } = rig('*.example.com');
  for (let i = 0; i < 10_000; i++) policy.resolved([`203.${i >> 8}.${i & 255}.1`], 100);
  assert.equal(policy.opened, 4096);
  assert.ok(policy.mayReach(`203.${9999 >> 8}.${9999 & 255}.1`));
  assert.ok(!policy.mayReach('203.0.0.1'));
});

test('a listed address is not enough to look a name up, nor the other way round', () => {
  const { policy } = rig('203.0.113.7', '10.0.0.0/8');
  assert.ok(policy.mayReach('203.0.113.7') && policy.mayReach('10.9.9.9'));
  assert.ok(!policy.mayReach('203.0.113.8'));
  assert.ok(!policy.mayResolve('example.com'));
});

test('what is no host is told', () => {
  for (const text of ['', 'a b', '-x.com', '300.1.1.1', '10.0.0.0/40', 'a..b', 'x'.repeat(254), '*', 'http://x']) {
    assert.ok(!isHostRule(text), text);
    assert.throws(() => rig(text), { kind: 'usage' });
  }
  for (const text of ['example.com', '*.example.com', 'localhost', '_srv.a', '10.0.0.1', '2001:db8::/32'])
    assert.ok(isHostRule(text));
});
