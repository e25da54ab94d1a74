#!/usr/bin/env node
/** The program `virts`. What needs a newer Node is loaded only after its version was checked. */
import process from 'node:process';
import { ENGINE_OPTIONS } from './engine-options.ts';

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(`virts: Node ${process.versions.node} is too old; Virts needs Node 24 or newer.\n`);
  process.exit(12);
}

// They take effect only from the start, so the process is started anew in its own place.
const { isLight, runLight } = await import('./light.ts');
const args = process.argv.slice(2);
if (
  !isLight(args) &&
  ENGINE_OPTIONS.some((option) => !process.execArgv.includes(option)) &&
  process.channel === undefined
) {
  const [program, ...rest] = process.argv;
  try {
    process.execve?.(program, [program, ...ENGINE_OPTIONS, ...process.execArgv, ...rest], process.env);
  } catch {
    // It is only slower.
  }
}

const { reportError } = await import('./report-error.ts');

const fail = (error: unknown): never => process.exit(reportError(error, process));
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
// A reader that went away is not a defect; who writes to the stream learns of it there.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const { stdin, stdout, stderr, env } = process;
const environment = { stdin, stdout, stderr, env, signals: process };

async function run(): Promise<number> {
  if (isLight(args)) return runLight(args, environment);
  const { main } = await import('./program.ts');
  const { startMachine } = await import('./start-machine.ts');
  return main(args, { ...environment, startMachine });
}

const status = await run();
// Worker threads and open connections must not keep a finished run alive, and nothing written may be lost.
await new Promise<void>((resolve) => stdout.write('', () => resolve()));
process.exit(status);
