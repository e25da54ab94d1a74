/**
 * Threads that work ahead give way to those that run guests, where processors are short. On Linux a priority belongs to a
 * thread; elsewhere it is the whole process's, and stays as it is.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

/** Steps of `nice(2)`: where both want one processor, a thread that was not lowered gets three quarters of it. */
const STEPS = 5;

/** Once below the process's first thread is enough, however many machines it has. */
function lower(thread: number): void {
  try {
    const wanted = Math.min(getPriority(process.pid) + STEPS, constants.priority.PRIORITY_LOW);
    if (getPriority(thread) < wanted) setPriority(thread, wanted);
  } catch {
    // The thread has ended, or the host forbids it.
  }
}

/** The thread that calls. */
export function lowerPriority(): void {
  if (process.platform === 'linux') lower(0);
}

/** The engine's threads, which optimise code. */
export function lowerEnginePriority(): void {
  if (process.platform !== 'linux') return;
  try {
    for (const thread of readdirSync('/proc/self/task'))
      if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').includes('V8Worker')) lower(Number(thread));
  } catch {
    // Without /proc they cannot be told apart.
  }
}
