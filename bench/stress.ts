/**
 * A soak of machines with several vCPUs: stress-ng works in the default guest, which must come through it without a lock-up,
 * a wrong result or a complaint in its kernel's log. `npm run soak:stress -- --help`.
 */
import { parseArgs } from 'node:util';
import { VirtsError } from '../src/base/errors.ts';
import { interruptible } from '../src/cli/interrupt.ts';
import { showProgress } from '../src/cli/progress.ts';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { runStress, STRESSORS } from './stress-run.ts';

const USAGE = `npm run soak:stress -- [options]
  --cpus N,M        one run with so many vCPUs each (default 2,4)
  --seconds N       how long stress-ng works in each run (default 600)
  --stressors TEXT  its other arguments (default '${STRESSORS}')
  --figures         show the machine's figures after each run
  --mirror URL, --keyring FILE   where the guest's packages come from, as for virts run
`;

async function main(signal: AbortSignal): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ cpus: { ...text, default: '2,4' }, seconds: { ...text, default: '600' } },
      ...{ stressors: { ...text, default: STRESSORS }, mirror: text, keyring: text },
      ...{ figures: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new VirtsError('usage', '--seconds takes a number above 0.');
  const { mirror, keyring, stressors } = values;
  const source = { cache: cacheDirectory(), mirror, keyring, signal, progress: showProgress(process.stderr) };
  let failed = false;
  for (const cpus of values.cpus.split(',').map(Number)) {
    const { problems, figures } = await runStress({ source, cpus, seconds, stressors, line: console.log });
    if (values.figures) console.log(figures);
    console.log(problems.length === 0 ? `${cpus} vCPUs, ${seconds} s: all is well` : `${cpus} vCPUs: NOT WELL`);
    for (const problem of problems) console.log(`  ${problem}`);
    failed ||= problems.length > 0;
    signal.throwIfAborted();
  }
  return failed ? 1 : 0;
}

try {
  process.exitCode = await interruptible(process, main);
} catch (error) {
  process.stderr.write(`soak: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
