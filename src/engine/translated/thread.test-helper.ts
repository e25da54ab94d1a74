/** Runs what may never return in a thread of its own, so that it fails its test instead of hanging it. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

interface Job {
  readonly module: string;
  readonly name: string;
  readonly args: readonly unknown[];
}

/** Milliseconds until a thread counts as hanging: far more than any of the jobs takes. */
const PATIENCE = 60_000;

/** What the function `name` exported by a module returns for `args`. Rejects where it throws or does not come back. */
export function inThread(module: URL, name: string, ...args: unknown[]): Promise<unknown> {
  const job: Job = { module: module.href, name, args };
  const worker = new Worker(new URL(import.meta.url), { workerData: job });
  return new Promise<unknown>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} does not come back`)), PATIENCE);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => clearTimeout(timer));
  }).finally(() => worker.terminate());
}

if (!isMainThread && workerData !== null) {
  const { module, name, args } = workerData as Job;
  const scope: Record<string, (...args: readonly unknown[]) => unknown> = await import(module);
  parentPort?.postMessage(scope[name](...args));
}
