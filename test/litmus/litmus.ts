/** Runs litmus programs: a few instructions a thread, round after round, and what their loads gave. */
import { Worker } from 'node:worker_threads';
import { createSharedMemory } from '../../src/memory/layout.ts';
import { AT, LINE, MOST_THREADS, RAM, RAM_HOST, RESULTS } from './memory.ts';
import type { Job } from './thread.test-helper.ts';

export interface Litmus {
  readonly memory: WebAssembly.Memory;
  /** The results of all threads, round by round: two numbers for each. */
  run(programs: readonly string[], rounds: number, translated: boolean): Promise<number[][]>;
  /** A doubleword of guest memory, unsigned. */
  read(address: number): number;
  write(address: number, value: number): void;
  close(): Promise<void>;
}

/** Times that a thread looks for the others before a round; then it goes on without them. */
const PATIENCE = 3000;

/**
 * A loop of `body`, which has its round's `[rsi+X]` and `[rsi+Y]` and leaves what it loaded in R8D and R9D. The threads begin a
 * round together if they run at the same time at all, some a little later than others.
 */
function roundsOf(body: string, number: number, threads: number): string {
  return `
    again: lock inc dword [${AT.barrier}]
    add r15d, ${threads}
    mov ecx, ${PATIENCE}
    wait: cmp [${AT.barrier}], r15d
    jae begin
    dec ecx
    jnz wait
    begin: mov eax, ebp
    shr eax, ${2 * number}
    and eax, 7
    inc eax
    delay: dec eax
    jnz delay
    ${body.replaceAll('X', String(AT.x)).replaceAll('Y', String(AT.y))}
    mov [rdi], r8d
    mov [rdi+4], r9d
    add rdi, 8
    add rsi, ${LINE}
    dec ebp
    jnz again
    hlt`;
}

/** `shared`: locked instructions and fences as for several threads. */
export async function createLitmus(threads: number, shared = true): Promise<Litmus> {
  if (threads > MOST_THREADS) throw new RangeError('there is no room for so many threads');
  const memory = createSharedMemory();
  const bytes = new Uint8Array(memory.buffer, RAM_HOST, RAM);
  const words = new Uint32Array(memory.buffer, RAM_HOST, RAM / 4);
  const data = new DataView(memory.buffer, RAM_HOST, RAM);
  const workers: Worker[] = [];
  const answer = (worker: Worker) =>
    new Promise<unknown>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', (message) => {
        worker.off('error', reject);
        resolve(message);
      });
    });
  // One after the other: each writes the same tables.
  for (let number = 0; number < threads; number++) {
    const worker = new Worker(new URL('./thread.test-helper.ts', import.meta.url), {
      workerData: { litmus: true, memory, number, shared },
    });
    workers.push(worker);
    await answer(worker);
  }
  return {
    memory,
    read: (address) => data.getUint32(address, true),
    write: (address, value) => void Atomics.store(words, address / 4, value),
    async run(programs, rounds, translated) {
      bytes.fill(0, AT.x, AT.x + rounds * LINE);
      bytes.fill(0, AT.y, AT.y + rounds * LINE);
      Atomics.store(words, AT.barrier / 4, 0);
      const answers = programs.map((body, number) => {
        const job: Job = { text: roundsOf(body, number, programs.length), rounds, translated };
        workers[number].postMessage(job);
        return answer(workers[number]);
      });
      for (const result of await Promise.all(answers)) {
        const { caught, regions } = result as { caught: number; regions: number };
        if (caught > 0) throw new Error('a litmus program raised an exception');
        if (translated !== regions > 0) throw new Error('a litmus program was not run as it should');
      }
      const results = (number: number) => (AT.results + number * RESULTS) / 4;
      return Array.from({ length: rounds }, (_, round) =>
        programs.flatMap((_, number) => [
          ...words.subarray(results(number) + 2 * round, results(number) + 2 * round + 2),
        ]),
      );
    },
    async close() {
      for (const worker of workers) {
        const ended = new Promise((resolve) => worker.once('exit', resolve));
        worker.postMessage('end');
        await ended;
      }
    },
  };
}
