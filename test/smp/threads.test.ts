/**
 * Machines whose vCPUs each have a thread of their own, as the command line runs them. The guests check themselves; how their
 * threads interleave is a matter of luck, what must not happen never may.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_TRANSLATION, type Translation } from '../../src/engine/translated/vcpu-interface.ts';
import type { MachineEnd } from '../../src/sdk/machine-host.ts';
import { startMachine } from '../../src/sdk/node/start-machine.ts';
import { ENDS, endBySecond, INIT_OF_FIRST, RESET, restartBySecond, TRIPLE_FAULT } from './ends.ts';
import { PROGRAMS, PROGRAMS_OF_FOUR } from './programs.ts';
import { MEMORY, type SeveralGuest, severalKernel } from './several.ts';

/** Far more than any of these takes. */
const PATIENCE_MS = 120_000;

interface RunOptions {
  readonly translation?: Translation | undefined;
  readonly reboot?: boolean;
}

interface Ran {
  readonly end: MachineEnd;
  /** As `RunningMachine.statistics`. */
  readonly figures: Readonly<Record<string, number | string>>;
}

/** Runs a guest to its end; one that hangs is ended and fails its test. */
async function runGuest(guest: SeveralGuest, { translation, reboot = false }: RunOptions = {}): Promise<Ran> {
  const machine = await startMachine({
    kernel: { name: 'guest', bytes: severalKernel(guest) },
    append: '',
    memory: MEMORY,
    cpus: guest.count ?? 2,
    ...(translation && { translation }),
    reboot,
  });
  const hangs = Promise.withResolvers<never>();
  const timer = setTimeout(() => hangs.reject(new Error('the guest does not come to its end')), PATIENCE_MS);
  let end: MachineEnd;
  try {
    end = await Promise.race([machine.ended, hangs.promise]);
  } finally {
    clearTimeout(timer);
    await machine.stop();
  }
  return { end, figures: machine.statistics?.() ?? {} };
}

async function run(...args: Parameters<typeof runGuest>): Promise<MachineEnd> {
  return (await runGuest(...args)).end;
}

const WAYS: readonly (readonly [string, Translation | undefined])[] = [
  ['interpreted', undefined],
  ['translated when hot', DEFAULT_TRANSLATION],
  ['translated at once', { threshold: 1 }],
];

for (const [way, translation] of WAYS) {
  describe(`in threads, ${way}`, { concurrency: false }, () => {
    for (const program of [...PROGRAMS, ...(translation === DEFAULT_TRANSLATION ? PROGRAMS_OF_FOUR : [])]) {
      test(program.name, async () => {
        assert.deepEqual(await run(program, { translation }), { reason: 'debug-exit', status: 1 });
      });
    }
  });
}

test('figures of the threads add up to those of the machine', async () => {
  const { figures } = await runGuest(PROGRAMS[0]!, { translation: DEFAULT_TRANSLATION });
  const tiers = Number(figures['instructions interpreted']) + Number(figures['instructions in regions']);
  assert.ok(tiers > 0);
  assert.equal(figures['instructions retired'], tiers);
});

describe('in threads, the second vCPU', { concurrency: false }, () => {
  test('sends the first an INIT, which starts it at the reset vector', async () => {
    assert.deepEqual(await run(INIT_OF_FIRST), { reason: 'debug-exit', status: 11 });
  });
  for (const [name, way, reason] of ENDS) {
    for (const idle of reason === 'halted' ? [true] : [false, true]) {
      test(`${name} while the first is ${idle ? 'halted' : 'busy'}`, async () => {
        assert.deepEqual(await run(endBySecond(way, idle)), { reason, status: 0 });
      });
    }
  }
  for (const [name, way] of [
    ['resets', RESET],
    ['triple-faults', TRIPLE_FAULT],
  ] as const) {
    test(`${name}, and both start over`, async () => {
      assert.deepEqual(await run(restartBySecond(way), { reboot: true }), { reason: 'debug-exit', status: 11 });
    });
  }
});
