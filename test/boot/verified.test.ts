/** The default guest boots with its translated code checked against the interpreter, sample by sample. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_SAMPLE } from '../../src/engine/translated/vcpu-interface.ts';
import { guestFiles, seededMachine } from './guest.ts';
import { guestSession, PROMPT } from './guest-session.ts';

test('the 64-bit guest boots to its prompt and runs a command, verified', async () => {
  const translation = { threshold: 500, verify: DEFAULT_SAMPLE };
  const guest = seededMachine({ boot: await guestFiles('amd64'), translation });
  const session = guestSession(guest);
  session.waitFor(PROMPT);
  assert.equal(session.command('seq 1000 | md5sum'), '53d025127ae99ab79e8502aae2d9bea6  -');
  const stats = guest.machine.vcpus[0]!.stats();
  assert.ok(stats['regions verified'] > 1000, `${stats['regions verified']} regions`);
  assert.ok(stats['entries verified'] > 20_000, `${stats['entries verified']} runs`);
  assert.ok(stats['instructions verified'] > 5_000_000, `${stats['instructions verified']} instructions`);
});
