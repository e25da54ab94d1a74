#!/usr/bin/env node
/** The program `virts`. What needs a newer Node is loaded only after its version was checked. */
import process from 'node:process';

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(`virts: Node ${process.versions.node} is too old; Virts needs Node 24 or newer.\n`);
  process.exit(12);
}

await import('./engine-flags.ts');
const { main, reportError } = await import('./program.ts');
const { startMachine } = await import('./start-machine.ts');

const fail = (error: unknown): never => process.exit(reportError(error, process));
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
// A reader that went away is not a defect; who writes to the stream learns of it there.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const { stdin, stdout, stderr, env } = process;
const status = await main(process.argv.slice(2), { stdin, stdout, stderr, env, signals: process, startMachine });
// Worker threads and open connections must not keep a finished run alive, and nothing written may be lost.
await new Promise<void>((resolve) => stdout.write('', () => resolve()));
process.exit(status);
