#!/usr/bin/env node
/**
 * The program `virts`. It and the light commands are one file in the package (vite.cli.config.ts), as to load each module of theirs
 * takes longer than what these do; everything else is loaded once it is known to be needed, and that Node is new enough for it.
 * They import nothing from node:process: that makes all its streams.
 */
import type { Environment, Output } from './environment.ts';
import { isLight, runLight } from './light.ts';
import { reportUncaught } from './report-error.ts';

if (Number.parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(`virts: Node ${process.versions.node} is too old; Virts needs Node 24 or newer.\n`);
  process.exit(12);
}

/** A stream of the process, which costs milliseconds when it is first asked for. */
function lazily(make: () => Output): () => Output {
  let made: Output | undefined;
  return () => {
    // A reader that went away is not a defect; who writes to the stream learns of it there.
    made ??= make().on('error', () => {});
    return made;
  };
}

let wasWritten = false;
const stdout = lazily(() => {
  wasWritten = true;
  return process.stdout;
});
const stderr = lazily(() => process.stderr);
const environment: Omit<Environment, 'startMachine'> = {
  get stdin() {
    return process.stdin;
  },
  get stdout() {
    return stdout();
  },
  get stderr() {
    return stderr();
  },
  env: process.env,
  signals: process,
};

async function run(args: readonly string[]): Promise<number> {
  if (isLight(args)) {
    reportUncaught();
    return runLight(args, environment);
  }
  const { runFully } = await import('./full.ts');
  return runFully(args, environment);
}

const status = await run(process.argv.slice(2));
// Worker threads and open connections must not keep a finished run alive, and nothing written may be lost.
if (wasWritten) await new Promise<void>((resolve) => stdout().write('', () => resolve()));
process.exit(status);
