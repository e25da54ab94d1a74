/** Debian's 32-bit kernel without PAE, unmodified, to a shell and to its end. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { guestFiles, seededMachine } from './guest.ts';
import { type GuestSession, guestSession, PROMPT } from './guest-session.ts';
import { COMPLAINTS, COSTLY } from './kernel-messages.ts';

/** Half of the boot would be tests of the kernel's own ciphers. */
const NO_CIPHER_TESTS = 'cryptomgr.notests';

describe('the 32-bit guest', { concurrency: false }, () => {
  let session: GuestSession;

  before(async () => {
    const boot = await guestFiles('i386');
    session = guestSession(seededMachine({ boot: { ...boot, commandLine: `${boot.commandLine} ${NO_CIPHER_TESTS}` } }));
    session.waitFor(PROMPT);
  });

  test('a shell that computes', () => {
    assert.equal(session.command('echo $((6*7))'), '42');
    assert.match(session.command('uname -a'), /^Linux virts [0-9]\S*-686 #1 SMP .*Debian.* i686 GNU\/Linux$/);
    assert.equal(session.command('seq 1000 | md5sum'), '53d025127ae99ab79e8502aae2d9bea6  -');
  });

  test('nothing is wrong in the kernel log', () => {
    const lines = session.command('dmesg').split('\n');
    assert.ok(lines.length > 150);
    assert.deepEqual(
      lines.filter((line) => COMPLAINTS.test(line)),
      [],
    );
  });

  test('no costly way around a speculation flaw', () => {
    const lines = session.command('grep . /sys/devices/system/cpu/vulnerabilities/*').split('\n');
    assert.ok(lines.length > 10);
    assert.deepEqual(
      lines.filter((line) => COSTLY.test(line)),
      [],
    );
  });

  test('poweroff switches the machine off', () => {
    session.type('poweroff -f\n');
    assert.deepEqual(session.end(), { reason: 'power-off' });
  });
});
