/** Debian's 64-bit cloud kernel, unmodified: what it finds, what it says, and how it ends. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { BLOCK_OPERATION } from '../../src/devices/block-port.ts';
import { arrayDisk, guestFiles, type SeededMachine, seededMachine } from './guest.ts';
import { type GuestSession, guestSession, PROMPT, plain } from './guest-session.ts';
import { COMPLAINTS, COSTLY } from './kernel-messages.ts';
import { vmlinux } from './vmlinux.ts';

/** The level x86-64-v2 and what else CPUID claims, by Linux's names. */
const FLAGS = [
  ...['cx16', 'lahf_lm', 'popcnt', 'pni', 'ssse3', 'sse4_1', 'sse4_2', 'sse', 'sse2', 'fxsr', 'mmx', 'syscall', 'nx'],
  ...['aes', 'pclmulqdq', 'movbe', 'rdrand', 'rdseed', 'bmi1', 'bmi2', 'adx', 'abm', 'xsave', 'rdtscp', 'pdpe1gb'],
  ...['smep', 'smap', 'umip', 'pcid', 'invpcid', 'fsgsbase', 'erms', 'fsrm', 'tsc_deadline_timer', 'x2apic'],
  ...['constant_tsc', 'nonstop_tsc', 'arch_capabilities', 'hypervisor'],
];

/** Bounds for a guest at its prompt, a guest second: four times what was measured. */
const IDLE = { instructions: 200_000, wakes: 40 } as const;

describe('the 64-bit guest', { concurrency: false }, () => {
  let guest: SeededMachine;
  let session: GuestSession;
  const diskBytes = new Uint8Array(8 << 20);
  const disk = arrayDisk(diskBytes, 'DISK-1');
  /** The machine at its prompt. */
  let atPrompt: Uint8Array;

  before(async () => {
    guest = seededMachine({ boot: await guestFiles('amd64'), disks: [disk] });
    session = guestSession(guest);
    session.waitFor(PROMPT);
    atPrompt = guest.save();
  });

  const restored = (): [SeededMachine, GuestSession] => {
    const machine = seededMachine({ restore: atPrompt, disks: [arrayDisk(new Uint8Array(8 << 20), 'DISK-1')] });
    return [machine, guestSession(machine)];
  };

  test('a shell that computes', () => {
    assert.equal(session.command('echo $((6*7))'), '42');
    assert.match(session.command('uname -a'), /^Linux virts [0-9]\S* #1 SMP .*Debian.* x86_64 GNU\/Linux$/);
    assert.equal(session.command('seq 1000 | md5sum'), '53d025127ae99ab79e8502aae2d9bea6  -');
  });

  test('the processor has what CPUID claims', () => {
    const line = session.command('grep -m 1 ^flags /proc/cpuinfo');
    const flags = new Set(line.split(/\s+/));
    assert.deepEqual(
      FLAGS.filter((flag) => !flags.has(flag)),
      [],
    );
  });

  test('no costly way around a speculation flaw', () => {
    const lines = session.command('grep . /sys/devices/system/cpu/vulnerabilities/*').split('\n');
    assert.ok(lines.some((line) => /\/meltdown:Not affected$/.test(line)));
    assert.ok(lines.some((line) => /\/mds:Not affected$/.test(line)));
    assert.ok(lines.some((line) => /\/retbleed:Not affected$/.test(line)));
    assert.ok(!lines.some((line) => /vulnerable/i.test(line)));
    assert.deepEqual(
      lines.filter((line) => COSTLY.test(line)),
      [],
    );
  });

  test('nothing is wrong in the kernel log', () => {
    const lines = session.command('dmesg').split('\n');
    assert.ok(lines.length > 200);
    assert.ok(lines.some((line) => line.includes('Hypervisor detected: KVM')));
    assert.deepEqual(
      lines.filter((line) => COMPLAINTS.test(line)),
      [],
    );
  });

  test('time comes from the TSC or kvmclock', () => {
    const directory = '/sys/devices/system/clocksource/clocksource0';
    assert.match(session.command(`cat ${directory}/current_clocksource`), /^(tsc|kvm-clock)$/);
    assert.match(session.command(`cat ${directory}/available_clocksource`), /kvm-clock.*tsc|tsc.*kvm-clock/);
    assert.match(session.command('date -u +%Y-%m-%dT%H'), /^2024-01-01T00$/);
  });

  test('a sleep takes its time', () => {
    const before = guest.machine.now();
    session.command('sleep 3');
    const seconds = (guest.machine.now() - before) / 1e9;
    assert.ok(seconds >= 3, `${seconds} s`);
    assert.equal(session.command('a=$(date +%s); sleep 2; b=$(date +%s); echo $(((b - a) / 2))'), '1');
  });

  test('virtio-rng gives random numbers', () => {
    assert.match(session.command('cat /sys/class/misc/hw_random/rng_current'), /^virtio_rng/);
    const dump = session.command('head -c 64 /dev/hwrng | hexdump -v');
    assert.match(dump, /^0000040$/m);
    assert.ok(new Set(dump.split(/\s+/)).size > 20, dump);
  });

  test('a virtio disk holds what is written to it', () => {
    assert.equal(session.command('cat /sys/block/vda/size /sys/block/vda/serial'), '16384\nDISK-1');
    session.command('seq 5000 > d; dd if=d of=/dev/vda bs=4k seek=16 conv=fsync');
    const text = Buffer.from(diskBytes.subarray(65_536, 65_536 + 23_893)).toString();
    assert.ok(text.startsWith('1\n2\n3\n') && text.endsWith('\n4999\n5000\n'));
    assert.equal(disk.operations.at(-1), BLOCK_OPERATION.flush);
    const reads = () => disk.operations.filter((operation) => operation === BLOCK_OPERATION.read).length;
    const before = reads();
    session.command('echo 3 > /proc/sys/vm/drop_caches');
    session.command('dd if=/dev/vda of=e bs=4k skip=16 count=6');
    assert.ok(reads() > before);
    assert.equal(session.command('head -c 23893 e | cmp - d; echo $?'), '0');
    assert.match(session.command('blkdiscard -o 65536 -l 524288 /dev/vda; echo $?'), /0$/);
    assert.equal(disk.operations.at(-1), BLOCK_OPERATION.discard);
    assert.equal(diskBytes[70_000], 0);
  });

  test('a guest at its prompt hardly runs', () => {
    const [{ machine }] = restored();
    const seconds = 10;
    const [started, retired] = [machine.now(), machine.retired()];
    let wakes = 0;
    for (let last = started; last < started + seconds * 1e9; last = machine.now()) {
      machine.advanceInstructions(1);
      // Time that no instruction took was idle.
      if (machine.now() - last > 1000) wakes++;
    }
    assert.ok(machine.retired() - retired < seconds * IDLE.instructions);
    assert.ok(wakes < seconds * IDLE.wakes, `${wakes} wakes in ${seconds} s`);
  });

  test('memory that the guest frees, or is asked for, goes back to the host', () => {
    const [{ machine }, other] = restored();
    const MIB = 256; // pages
    const resident = () => machine.memory.resident();
    /** Lets time pass in the guest until something is so; it is seconds at most. */
    const until = (what: string, done: () => boolean) => {
      for (let i = 0; !done(); i++) {
        assert.ok(i < 30, `${what}: ${resident() / MIB} MiB are resident`);
        other.command('sleep 1');
      }
    };
    const before = resident();
    other.command('mkdir /m; mount -t tmpfs x /m; dd if=/dev/zero of=/m/f bs=1M count=48');
    const full = resident();
    assert.ok(full > before + 32 * MIB, `${before} pages, then ${full}`);
    // Free-page reporting: all but what is in blocks that are partly in use. Part of the file is where memory was resident before.
    other.command('rm /m/f');
    until('free pages', () => resident() < full - 28 * MIB);

    // What is still resident is in use or was never reported; the balloon gets at free pages of any size.
    const free = () => Number(other.command('grep MemFree /proc/meminfo').replace(/\D/g, ''));
    const [freeBefore, asked] = [free(), 64 << 20];
    machine.setBalloon(asked);
    until('the balloon', () => machine.board.virtioBalloon!.actual() === asked);
    assert.ok(free() < freeBefore - 56 * 1024);
    machine.setBalloon(0);
    until('the empty balloon', () => machine.board.virtioBalloon!.actual() === 0);
    assert.ok(free() > freeBefore - 8 * 1024);
  });

  test('the power button is noticed', () => {
    const [pressed, other] = restored();
    pressed.machine.board.pressPowerButton();
    assert.deepEqual(other.end(), { reason: 'power-off' });
    assert.match(plain(pressed.output()), /reboot: Power down/);
  });

  test('poweroff switches the machine off', () => {
    const [, other] = restored();
    other.type('poweroff -f\n');
    assert.deepEqual(other.end(), { reason: 'power-off' });
  });

  test('reboot resets the machine, which boots again', () => {
    session.type('reboot -f\n');
    assert.deepEqual(session.end(), { reason: 'reset' });
    guest.machine.reset();
    assert.match(plain(session.waitFor(/Hypervisor detected: \w+/)), /Linux version/);
  });
});

test('the same kernel as an ELF file boots through PVH', async () => {
  const boot = await guestFiles('amd64');
  const session = guestSession(seededMachine({ boot: { ...boot, kernel: vmlinux(boot.kernel) } }));
  const log = plain(session.waitFor(/Freeing initrd memory/));
  assert.match(log, /Hypervisor detected: KVM/);
  assert.match(log, /smpboot: CPU0: .*Virts/);
});
