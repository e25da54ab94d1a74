import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { VirtsError } from '../../base/errors.ts';
import { createFakeTarget } from '../../vm/gdb/fake-target.test-helper.ts';
import type { GdbArchitecture } from '../../vm/gdb/registers.ts';
import { serveGdb } from './gdb-server.ts';

const hasGdb = spawnSync('gdb', ['--version']).status === 0;
const skip = hasGdb ? false : 'gdb is not installed';

async function start(t: TestContext, architecture?: GdbArchitecture) {
  const target = createFakeTarget();
  const server = await serveGdb(target, { port: 0, ...(architecture === undefined ? {} : { architecture }) });
  t.after(async () => {
    await target.stop();
    await server.close();
  });
  return { target, server };
}

/** What GDB says to commands. */
async function gdb(port: number, commands: readonly string[]): Promise<string> {
  const all = ['set confirm off', 'set pagination off', 'set tcp connect-timeout 5', `target remote 127.0.0.1:${port}`];
  const args = ['-nx', '-batch', ...[...all, ...commands].flatMap((command) => ['-ex', command])];
  const { stdout, stderr } = await promisify(execFile)('gdb', args, { timeout: 30_000 });
  return stdout + stderr;
}

test('GDB reads registers and memory, breaks, continues, steps', { skip }, async (t) => {
  const { target, server } = await start(t);
  const output = await gdb(server.port, [
    'info registers rip',
    'x/4xb 0x1000',
    'break *0x1003',
    'continue',
    'info registers rip',
    'stepi',
    'info registers rip',
    'continue',
    'p $_hit_bpnum',
    'info breakpoints',
    'detach',
  ]);
  assert.match(output, /rip +0x1000 /);
  assert.match(output, /0x1000:\s+0x90\s+0x90\s+0x90\s+0x90/);
  assert.match(output, /Breakpoint 1, 0x0*1003 in/);
  assert.match(output, /rip +0x1003 /);
  assert.match(output, /rip +0x1004 /);
  assert.match(output, /breakpoint already hit 2 times/);
  assert.equal(target.bytes[0x1003], 0x90, 'the guest never sees a breakpoint');
  assert.equal(target.isRunning(), true, 'a detached machine runs on');
});

test('GDB writes registers and memory of every kind', { skip }, async (t) => {
  const { target, server } = await start(t);
  const { state } = target.vcpus[0]!;
  const output = await gdb(server.port, [
    'set $rbx = 0x1122334455667788',
    'set $eflags = 0x246',
    'info registers eflags',
    'set $fs_base = 0x7000',
    'set $k_gs_base = 0x8000',
    'set $fstat = 7 << 11',
    'set $st0 = 1.5',
    'set $ftag = 0x3fff',
    'set $xmm3.v2_int64[1] = 0x99',
    'set {unsigned long}0x2000 = 0x0123456789abcdef',
    'x/1xg 0x2000',
    'info registers cr4',
    'info float',
    'monitor info registers',
    'info threads',
    'kill',
  ]);
  assert.equal(state.gpr[3], 0x1122_3344_5566_7788n);
  assert.match(output, /eflags +0x246 +\[ .*ZF.*IF.*\]/);
  assert.deepEqual([state.segmentBase[4], state.kernelGsBase], [0x7000n, 0x8000n]);
  assert.deepEqual([state.fpr[14], state.fpr[15]], [0xc000_0000_0000_0000n, 0x3fffn]);
  assert.equal(state.xmm[13], 0x99n);
  assert.match(output, /0x2000:\s+0x0123456789abcdef/);
  assert.match(output, /cr4 +0x20 +\[ .*PAE.*\]/);
  assert.match(output, /R7: Valid .*1\.5/);
  assert.match(output, /gdtr base 0000000000000000/);
  assert.match(output, /Thread 1 \(vCPU 0 \(running\)\)/);
  assert.ok(target.calls.includes('kill'));
});

test('GDB takes the description of 32-bit processors', { skip }, async (t) => {
  const { server } = await start(t, 'i386');
  const output = await gdb(server.port, [
    'show architecture',
    'info registers eip',
    'p $xmm7',
    'p $mxcsr',
    'stepi',
    'p $eip',
  ]);
  assert.match(output, /i386/);
  assert.match(output, /eip +0x1000 /);
  assert.match(output, /0x1001/);
  assert.doesNotMatch(output, /warning:(?! No executable)/i);
});

test('One debugger at a time, on the loopback interface', async (t) => {
  const { server } = await start(t);
  const first = connect(server.port, '127.0.0.1');
  await once(first, 'connect');
  const second = connect(server.port, '127.0.0.1');
  second.on('error', () => {});
  await once(second, 'close');
  first.write('$qC#b4');
  const [reply] = await once(first, 'data');
  assert.equal(String(reply)[0], '+');
  first.destroy();
});

test('A port in use is a sentence', async (t) => {
  const { server } = await start(t);
  await assert.rejects(serveGdb(createFakeTarget(), { port: server.port }), (error) => {
    assert.ok(error instanceof VirtsError);
    assert.equal(error.kind, 'io');
    assert.match(error.message, /in use; choose another/);
    return true;
  });
});

test('Closing ends a connection that is open', async (t) => {
  const { server } = await start(t);
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const ended = once(socket.resume(), 'close');
  await server.close();
  await ended;
});
