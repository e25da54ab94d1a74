import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU_FEATURES } from '../src/cpu/cpuid.ts';
import { kernelVersion } from './engines.ts';
import { qemuCpu, refusedFeatures } from './features.ts';
import { orderEntries } from './image.ts';
import { makeProgram, makeText } from './inputs.ts';
import { cpioEntry, isWanted } from './package-files.ts';
import { commandOf, pickWorkloads, WORKLOADS } from './workloads.ts';

test('inputs are the same each time', () => {
  assert.deepEqual(makeText(5000), makeText(5000));
  assert.notDeepEqual(makeText(5000), makeText(5000, 7));
  assert.equal(makeText(5000).length, 5000);
  assert.match(makeText(5000).toString('latin1'), /^[a-z. \n]+$/);
  assert.equal(makeProgram(3), makeProgram(3));
  assert.equal(makeProgram(3).match(/static unsigned f\d/g)!.length, 3);
});

test('benchmarks are picked by name and by class', () => {
  assert.equal(pickWorkloads(undefined), WORKLOADS);
  assert.deepEqual(
    pickWorkloads('gcc,float').map(({ name }) => name),
    ['matmul', 'matmul-integer', 'nbody', 'mandelbrot', 'gcc'],
  );
  assert.throws(() => pickWorkloads('crc32,nonsense'), { kind: 'usage', message: /'nonsense'/ });
});

test('names of benchmarks are unique and none is a class of others', () => {
  const names = WORKLOADS.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const workload of WORKLOADS) {
    assert.ok(WORKLOADS.every((other) => other.class !== workload.name || other === workload));
  }
});

test('an amount never falls to nothing', () => {
  const [crc32] = pickWorkloads('crc32');
  assert.match(commandOf(crc32!, 1), /kernels" crc32 \d+$/);
  assert.match(commandOf(crc32!, 1e-9), / 1$/);
  assert.match(commandOf(pickWorkloads('gcc')[0]!, 1), /^sh ".*\/programs\/gcc\.sh" 1$/);
});

test('QEMU’s processor has every feature of Virts, under QEMU’s names', () => {
  const cpu = qemuCpu(CPU_FEATURES).split(',');
  assert.equal(cpu.length, 1 + CPU_FEATURES.size + 2);
  for (const name of ['+abm', '+pdpe1gb', '+sse4.2', '+aes', '+xsaveopt']) assert.ok(cpu.includes(name), name);
  assert.ok(!cpu.includes('+lzcnt'));
});

test('features that TCG does not have', () => {
  const warning = (text: string): string => `qemu: warning: TCG doesn't support requested feature: ${text}\n`;
  const log = warning('CPUID.80000001H:ECX.3dnowprefetch [bit 8]') + warning('CPUID.01H:ECX.tsc-deadline [bit 24]');
  assert.deepEqual(refusedFeatures(`${log}other\n${log}`), ['3dnowprefetch', 'tsc-deadline']);
});

test('files of packages: what goes in, and where', () => {
  assert.ok(isWanted('bin/gzip') && isWanted('usr/lib/gcc/x86_64-linux-gnu/12/cc1') && isWanted('usr/bin/perl'));
  assert.ok(isWanted('usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a'));
  assert.ok(!isWanted('usr/share/doc/gzip/copyright') && !isWanted('usr/lib/gcc/x86_64-linux-gnu/12/lto1'));
  assert.deepEqual(cpioEntry({ type: 'file', path: 'bin/su', mode: 0o4755, content: Buffer.from('x') }), {
    type: 'file',
    path: 'usr/bin/su',
    mode: 0o755,
    content: Buffer.from('x'),
  });
  assert.deepEqual(cpioEntry({ type: 'link', path: 'usr/bin/perl5', target: 'bin/perl' }), {
    type: 'symlink',
    path: 'usr/bin/perl5',
    target: '/usr/bin/perl',
  });
});

test('directories come before what is in them, each once', () => {
  const entries = orderEntries([
    { type: 'file', path: 'usr/bin/a', content: '' },
    { type: 'directory', path: 'usr' },
    { type: 'symlink', path: 'bin', target: 'usr/bin' },
  ]);
  assert.deepEqual(
    entries.map(({ path }) => path),
    ['bin', 'usr', 'usr/bin', 'usr/bin/a'],
  );
});

test('the version in a kernel’s header', () => {
  const image = Buffer.alloc(0x1000);
  image.writeUInt16LE(0x400, 0x20e);
  image.write('6.1.0-56-cloud (someone) #1\0rest', 0x600, 'latin1');
  assert.equal(kernelVersion(image), '6.1.0-56-cloud');
});
