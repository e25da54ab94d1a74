/** The default guest with two vCPUs, each in a thread of its own, on the command line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virtsWithin } from '../../src/cli/virts.test-helper.ts';
import { plain } from './guest-session.ts';
import { COMPLAINTS } from './kernel-messages.ts';

/** Far more than it takes; a guest that hangs must not keep the tests for ever. */
const PATIENCE_MS = 300_000;

/** Both loops at once; the sums show that both ran to their ends. */
const LOOP = 'i=0; s=0; while [ $i -lt 20000 ]; do i=$((i+1)); s=$((s+i)); done';
const LINES = [
  `echo CPUS $(nproc)`,
  `(${LOOP}; echo ONE $s) & (${LOOP}; echo TWO $s) & wait`,
  'echo LOG; dmesg; echo END',
  'poweroff -f',
];

test('two vCPUs in threads: two busy loops at once, a clean log, power-off', async () => {
  // What the kernel says of a network card may come in the middle of a line.
  const run = virtsWithin(PATIENCE_MS, 'run', '--cpus', '2', '--net', 'none');
  for (const [index, line] of LINES.entries()) {
    // What is typed before a prompt is echoed in the middle of what the command before says.
    await run.said(new RegExp(`(?:virts# [^]*){${index + 1}}`));
    run.process.stdin?.write(`${line}\n`);
  }
  const { status, stdout, stderr } = await run.ended;
  const output = plain(stdout);
  assert.equal(status, 0, stderr);
  assert.match(output, /^CPUS 2$/m);
  assert.match(output, /^ONE 200010000$/m);
  assert.match(output, /^TWO 200010000$/m);
  const log = output.slice(output.search(/^LOG$/m), output.search(/^END$/m)).split('\n');
  assert.ok(log.length > 150, `${log.length} lines`);
  assert.deepEqual(
    log.filter((line) => COMPLAINTS.test(line)),
    [],
  );
});
