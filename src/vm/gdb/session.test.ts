import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CODE, createFakeTarget } from './fake-target.test-helper.ts';
import { createPacketReader, encodePacket } from './packet.ts';
import { createGdbSession, type GdbOptions } from './session.ts';

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const hex = (text: string) => Buffer.from(text, 'utf8').toString('hex');

/** A debugger that talks to a session over a fake machine. */
function connect(count = 1, options: GdbOptions = {}) {
  const target = createFakeTarget(count);
  const reader = createPacketReader();
  const replies: string[] = [];
  let raw = '';
  let wake: (() => void) | undefined;
  let closed = false;
  const transport = {
    send(bytes: Uint8Array) {
      raw += latin1(bytes);
      for (const item of reader.push(bytes)) {
        assert.ok(item.kind !== 'packet' || item.intact);
        if (item.kind === 'packet') replies.push(item.data);
      }
      wake?.();
    },
    close() {
      closed = true;
    },
  };
  const session = createGdbSession(target, transport, options);
  async function reply(): Promise<string> {
    while (replies.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return replies.shift()!;
  }
  const send = (data: string) => session.receive(encodePacket(data));
  return {
    target,
    session,
    send,
    reply,
    ask(data: string): Promise<string> {
      send(data);
      return reply();
    },
    interrupt: () => session.receive(Uint8Array.of(3)),
    raw: () => raw,
    isClosed: () => closed,
    pending: () => replies.length,
  };
}

/** Lets everything happen that is due. */
const settle = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test('Packets are acknowledged until both sides do without', async () => {
  const gdb = connect();
  gdb.session.receive(Buffer.from('$?#00'));
  assert.equal(gdb.raw(), '-');
  assert.equal(await gdb.ask('?'), 'T05thread:01;');
  assert.match(gdb.raw(), /^-\+\$T05/);
  gdb.session.receive(Buffer.from('-'));
  assert.equal(await gdb.reply(), 'T05thread:01;', 'sent again');
  assert.equal(await gdb.ask('QStartNoAckMode'), 'OK');
  const before = gdb.raw().length;
  assert.equal(await gdb.ask('qC'), 'QC01');
  assert.equal(gdb.raw().slice(before), '$QC01#f5');
});

test('What is not known has an empty reply', async () => {
  const gdb = connect();
  for (const data of [
    '',
    'vMustReplyEmpty',
    'qSymbol::',
    'R00',
    'qconstructor',
    'toString',
    '!',
    'Z9,0,0',
    'Z2,1000,4',
  ]) {
    assert.equal(await gdb.ask(data), '', data);
  }
});

test('Malformed packets are refused and change nothing', async () => {
  const gdb = connect();
  const bad =
    'm,4 m1000 mzz,4 M1000,2:00 M1000,1:0g X1000,3:ab P0 P0=00 Pfff=00 p G00 Hg9 Hx1 Z0,,1 vCont;x cxyz qRcmd,6';
  for (const data of bad.split(' ')) assert.match(await gdb.ask(data), /^E[0-9a-f]{2}$/, data);
  assert.equal(gdb.target.isRunning(), false);
  assert.equal(gdb.target.vcpus[0]!.state.rip, CODE);
});

test('The description is read in parts', async () => {
  const gdb = connect();
  assert.match(await gdb.ask('qSupported:swbreak+;xmlRegisters=i386'), /PacketSize=4000;.*qXfer:features:read\+/);
  let xml = '';
  for (let part = 'm'; part[0] === 'm'; ) {
    part = await gdb.ask(`qXfer:features:read:target.xml:${xml.length.toString(16)},400`);
    xml += part.slice(1);
  }
  assert.match(xml, /<architecture>i386:x86-64<\/architecture>/);
  for (const name of ['rip', 'st7', 'fop', 'xmm15', 'mxcsr', 'fs_base', 'gs_base', 'k_gs_base', 'cr3']) {
    assert.ok(xml.includes(`<reg name="${name}"`), name);
  }
  assert.equal(await gdb.ask('qXfer:features:read:other.xml:0,400'), 'E00');
});

test('The other architecture has registers of 32 bits', async () => {
  const gdb = connect(1, { architecture: 'i386' });
  const xml = await gdb.ask('qXfer:features:read:target.xml:0,1fff');
  assert.match(xml, /<architecture>i386<\/architecture>/);
  assert.equal(await gdb.ask('p8'), '00100000');
});

test('Registers are read and written, alone and together', async () => {
  const gdb = connect();
  const { state } = gdb.target.vcpus[0]!;
  assert.equal(await gdb.ask('P0=efcdab8967452301'), 'OK');
  assert.equal(state.gpr[0], 0x0123_4567_89ab_cdefn);
  assert.deepEqual(gdb.target.calls, ['registersChanged']);
  assert.equal(await gdb.ask('p0'), 'efcdab8967452301');
  const all = await gdb.ask('g');
  assert.ok(all.startsWith('efcdab8967452301'));
  assert.equal(await gdb.ask(`G${'11'.repeat(8)}${all.slice(16)}`), 'OK');
  assert.equal(state.gpr[0], 0x1111_1111_1111_1111n);
});

test('Memory is read and written, in hexadecimal and binary', async () => {
  const gdb = connect();
  assert.equal(await gdb.ask('m1000,4'), '90909090');
  assert.equal(await gdb.ask('M2000,3:0a0b0c'), 'OK');
  assert.equal(await gdb.ask('X2003,6:}\x03:$*#'), 'OK');
  assert.equal(await gdb.ask('X0,0:'), 'OK');
  assert.equal(await gdb.ask('m2000,9'), '0a0b0c7d033a242a23');
  assert.equal(await gdb.ask('mfffe,10'), '0000', 'as much as there is');
  assert.equal(await gdb.ask('m10000,1'), 'E0e');
  assert.equal(await gdb.ask('Mffff,2:0101'), 'E0e');
  assert.equal(gdb.target.bytes[0xffff], 0);
});

test('A breakpoint stops before its instruction and leaves memory as it is', async () => {
  const gdb = connect();
  await gdb.ask('qSupported:swbreak+;hwbreak+');
  assert.equal(await gdb.ask('Z0,1002,1'), 'OK');
  assert.equal(await gdb.ask('m1002,1'), '90');
  assert.equal(await gdb.ask('vCont;c'), 'T05swbreak:;thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1002n);
  assert.equal(await gdb.ask('?'), 'T05swbreak:;thread:01;');
  assert.equal(await gdb.ask('z0,1002,1'), 'OK');
  assert.equal(await gdb.ask('Z1,1003,1'), 'OK');
  assert.equal(await gdb.ask('c'), 'T05hwbreak:;thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1003n);
});

test('A debugger that did not say so is not told of the kind of breakpoint', async () => {
  const gdb = connect();
  await gdb.ask('Z0,1002,1');
  assert.equal(await gdb.ask('c'), 'T05thread:01;');
});

test('Steps execute one instruction, interrupts held back until asked for', async () => {
  const gdb = connect();
  assert.equal(await gdb.ask('s'), 'T05thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1001n);
  assert.equal(await gdb.ask('s1003'), 'T05thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1004n);
  assert.equal(await gdb.ask(`qRcmd,${hex('step-interrupts on')}`), 'OK');
  assert.equal(await gdb.ask('vCont;s:1;c'), 'T05thread:01;');
  assert.deepEqual(gdb.target.calls, [
    'step 0 interrupts false',
    'registersChanged',
    'step 0 interrupts false',
    'step 0 interrupts true',
  ]);
});

test('A step through a range ends outside it, or at a breakpoint in it', async () => {
  const gdb = connect();
  assert.equal(await gdb.ask('vCont;r1000,1003:1'), 'T05thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1003n);
  await gdb.ask('Z0,1001,1');
  assert.equal(await gdb.ask('vCont;r1000,1006:1'), 'T05thread:01;');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0x1001n);
});

test('An interrupt stops what runs, once, and a stopped machine not at all', async () => {
  const gdb = connect();
  gdb.send('c');
  await settle();
  assert.equal(gdb.target.isRunning(), true);
  assert.equal(await gdb.ask('g'), 'E16', 'registers are for a machine that stands still');
  gdb.interrupt();
  gdb.interrupt();
  assert.equal(await gdb.reply(), 'T02thread:01;');
  await settle();
  assert.equal(gdb.pending(), 0);
  assert.equal(gdb.target.isRunning(), false);
});

test('An interrupt ends a step through a range that never ends', async () => {
  const gdb = connect();
  gdb.send('vCont;r1000,1010:1');
  await settle();
  gdb.interrupt();
  assert.match(await gdb.reply(), /^T0[25]thread:01;$/);
  await settle();
  assert.equal(gdb.target.isRunning(), false);
  assert.equal(gdb.pending(), 0);
});

test('Each vCPU is a thread', async () => {
  const gdb = connect(2);
  const [first, second] = gdb.target.vcpus;
  second!.state.activity = 1;
  assert.equal(await gdb.ask('qfThreadInfo'), 'm01,02');
  assert.equal(await gdb.ask('qsThreadInfo'), 'l');
  assert.equal(await gdb.ask('qThreadExtraInfo,2'), hex('vCPU 1 (halted)'));
  assert.equal(await gdb.ask('T2'), 'OK');
  assert.equal(await gdb.ask('T3'), 'E03');
  assert.equal(await gdb.ask('Hg2'), 'OK');
  assert.equal(await gdb.ask('P0=0100000000000000'), 'OK');
  assert.deepEqual([first!.state.gpr[0], second!.state.gpr[0]], [0n, 1n]);
  assert.equal(await gdb.ask('vCont;s:2'), 'T05thread:02;');
  assert.deepEqual([first!.state.rip, second!.state.rip], [CODE, CODE + 1n]);
  assert.equal(await gdb.ask('qC'), 'QC02');
  assert.equal(await gdb.ask('Hc1'), 'OK');
  assert.equal(await gdb.ask('s'), 'T05thread:01;');
});

test('The monitor shows system registers, translates addresses and resets', async () => {
  const gdb = connect();
  const monitor = async (line: string) => {
    let text = '';
    for (let reply = await gdb.ask(`qRcmd,${hex(line)}`); reply !== 'OK'; reply = await gdb.reply()) {
      assert.equal(reply[0], 'O');
      text += Buffer.from(reply.slice(1), 'hex').toString();
    }
    return text;
  };
  const text = await monitor('info  registers');
  for (const name of ['cr0', 'efer', 'gdtr', 'idtr', 'ldtr', 'tr', 'k_gs_base'])
    assert.match(text, new RegExp(`\\b${name} `));
  assert.match(text, /^cs {3}0010 .*attributes 0a09b$/m);
  assert.equal(await monitor('translate 0x1234'), '0x0000000000001234\n');
  assert.equal(await monitor('translate 8000000000000000'), 'not mapped\n');
  assert.match(await monitor('nonsense'), /monitor help/);
  assert.match(await monitor('help'), /^quit /m);
  await monitor('reset');
  assert.equal(gdb.target.vcpus[0]!.state.rip, 0xfff0n);
});

test('Detaching takes breakpoints off and lets the machine run', async () => {
  const gdb = connect();
  await gdb.ask('Z0,1002,1');
  assert.equal(await gdb.ask('D'), 'OK');
  await settle();
  assert.equal(gdb.target.isRunning(), true);
  assert.equal(gdb.isClosed(), true);
  await gdb.target.stop();
});

for (const [data, reply] of [
  ['vKill;1', 'OK'],
  [`qRcmd,${hex('quit')}`, 'OK'],
] as const) {
  test(`${data} ends the machine`, async () => {
    const gdb = connect();
    assert.equal(await gdb.ask(data), reply);
    await settle();
    assert.deepEqual(gdb.target.calls, ['kill']);
    assert.equal(gdb.isClosed(), true);
  });
}

test('A connection that ends leaves the machine as it is, without breakpoints', async () => {
  const gdb = connect();
  await gdb.ask('Z0,1002,1');
  gdb.session.closed();
  assert.equal(gdb.target.isRunning(), false);
  gdb.target.resume();
  await settle();
  assert.equal(gdb.target.isRunning(), true);
  await gdb.target.stop();
});

test('A connection that says nothing does not stop the machine', async () => {
  const gdb = connect();
  gdb.target.resume();
  await settle();
  assert.equal(gdb.target.isRunning(), true);
  assert.equal(await gdb.ask('?'), 'T05thread:01;');
  assert.equal(gdb.target.isRunning(), false);
});

test('Ends and triple faults are told', async () => {
  const gdb = connect();
  const vcpu = gdb.target.vcpus[0]!;
  gdb.send('c');
  await settle();
  gdb.target.tell({ reason: 'shutdown', vcpu });
  assert.equal(await gdb.reply(), 'T0bthread:01;');
  gdb.send('c');
  await settle();
  gdb.target.tell({ reason: 'ended', status: 3 });
  assert.equal(await gdb.reply(), 'W03');
  assert.equal(await gdb.ask('c'), 'W03');
});

test('Watchpoints go to a machine that has them', async () => {
  const gdb = connect();
  const vcpu = gdb.target.vcpus[0]!;
  const set: unknown[] = [];
  gdb.target.setWatchpoints = (points) => {
    set.push(points);
    return points.length < 2;
  };
  assert.equal(await gdb.ask('Z2,2000,4'), 'OK');
  assert.deepEqual(set.at(-1), [{ kind: 'write', address: 0x2000n, length: 4 }]);
  assert.equal(await gdb.ask('Z4,3000,8'), 'E16');
  gdb.send('c');
  await settle();
  gdb.target.tell({ reason: 'watchpoint', vcpu, kind: 'write', address: 0x2000n });
  assert.equal(await gdb.reply(), 'T05watch:2000;thread:01;');
  assert.equal(await gdb.ask('z2,2000,4'), 'OK');
  assert.deepEqual(set.at(-1), []);
});

test('A machine that fails to stop is an error, not an end of the connection', async (t: TestContext) => {
  const gdb = connect();
  await gdb.ask('?');
  t.mock.method(gdb.target, 'stop', () => Promise.reject(new Error('no')));
  gdb.send('c');
  await settle();
  gdb.interrupt();
  assert.equal(await gdb.reply(), 'E05');
  t.mock.restoreAll();
  gdb.interrupt();
  assert.equal(await gdb.reply(), 'T02thread:01;');
});
