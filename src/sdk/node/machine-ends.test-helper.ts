/** A program with machines that fill their memory. It does not end itself: it ends when nothing is left that could go on. */
import { u32 } from '../../firmware/bytes.ts';
import { GUESTS, SCRATCH, tinyKernel } from '../../vm/tiny-kernel.test-helper.ts';
import { Machine } from './index.ts';

const GUEST_MIB = 192;
const FILLED = 160 << 20;
const word = (value: number) => [...u32(value)];

/** mov edi, SCRATCH; mov ecx, FILLED / 4; cld; rep stosd */
const FILL = [0xbf, ...word(SCRATCH), 0xb9, ...word(FILLED / 4), 0xfc, 0xf3, 0xab, ...GUESTS.speakAndSpin];
const kernel = { name: 'a guest that fills its memory', bytes: tinyKernel(FILL) };

async function run(cpus: number): Promise<void> {
  await using machine = await Machine.create({ kernel, memory: `${GUEST_MIB}M`, cpus, network: { publish: [80] } });
  const output = machine.console();
  await machine.start();
  await output.waitFor('!');
}

const residentMib = () => process.memoryUsage.rss() / 2 ** 20;
// The first brings what stays.
await run(1);
const before = residentMib();
for (const cpus of [1, 2]) await run(cpus);
process.stdout.write(JSON.stringify({ before, after: residentMib(), guest: FILLED / 2 ** 20 }));
