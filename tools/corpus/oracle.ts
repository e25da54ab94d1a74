/** The TypeScript end of `oracle/oracle.c`: builds it, feeds it cases, reads what the host processor did with them. */

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { COMPLETED, IMAGE, type Mode, RESULT, SYSTEM_CALL, TEST, TIMED_OUT } from './layout.ts';
import { initialSegment, type MemoryRun, type Outcome, type SegmentChanges } from './outcome.ts';

/** No vector expressions and no stack protector: the signal handler must not touch what belongs to the case. */
const FLAGS = ['-O2', '-Wall', '-mgeneral-regs-only', '-fno-stack-protector', '-fno-builtin', '-fno-strict-aliasing'];
const LINK = ['-fPIE', '-pie', '-Wl,-z,now'];

export interface Oracle {
  /** Runs cases of layout TEST, back to back in `tests`; one outcome each, in order. */
  run(tests: Uint8Array): Promise<readonly Outcome[]>;
  close(): Promise<void>;
}

/** An outcome the corpus cannot hold: the case never ended, or tried to call the kernel. */
export class UnusableCase extends Error {
  override readonly name = 'UnusableCase';
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

/** Compiles and starts the oracle. Throws when the host is no x86-64 Linux with a C compiler. */
export function startOracle(): Oracle {
  if (process.arch !== 'x64' || process.platform !== 'linux') throw new Error('the oracle needs an x86-64 Linux host');
  const folder = mkdtempSync(join(tmpdir(), 'oracle-'));
  const program = join(folder, 'oracle');
  const source = join(import.meta.dirname, 'oracle', 'oracle.c');
  const built = spawnSync('gcc', [...FLAGS, ...LINK, '-o', program, source], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the oracle does not build: ${built.error?.message ?? built.stderr}`);
  const child: Child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks = createChunks(child);
  return {
    async run(tests) {
      const count = tests.length / TEST.size;
      const written = new Promise<void>((resolve, reject) => {
        child.stdin.write(tests, (error) => (error ? reject(error) : resolve()));
      });
      const outcomes: Outcome[] = [];
      const collected = (async () => {
        for (let i = 0; i < count; i++) {
          const size = (await chunks.take(4)).getUint32(0, true);
          outcomes.push(parseResult(await chunks.take(size - 4), tests[i * TEST.size] as Mode));
        }
      })();
      await Promise.all([written, collected]);
      return outcomes;
    },
    async close() {
      const ended = child.exitCode === null ? once(child, 'exit') : undefined;
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

interface Chunks {
  /** The next `size` bytes. */
  take(size: number): Promise<DataView>;
}

function createChunks(child: Child): Chunks {
  const iterator = child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let buffer: Buffer = Buffer.alloc(0);
  return {
    async take(size) {
      while (buffer.length < size) {
        const next = await iterator.next();
        if (next.done) throw new Error(`the oracle ended early (status ${child.exitCode}, signal ${child.signalCode})`);
        buffer = buffer.length === 0 ? next.value : Buffer.concat([buffer, next.value]);
      }
      const taken = buffer.subarray(0, size);
      buffer = buffer.subarray(size);
      return new DataView(taken.buffer, taken.byteOffset, size);
    },
  };
}

const RESUME_FLAG = 0x10000;

function parseResult(view: DataView, mode: Mode): Outcome {
  // The record without its size field.
  const at = (offset: number): number => offset - 4;
  const image = new DataView(new ArrayBuffer(IMAGE.size));
  new Uint8Array(image.buffer).set(new Uint8Array(view.buffer, view.byteOffset + at(RESULT.image), IMAGE.size));
  // RF is set in the image that a fault pushes, by rule; nothing to learn from it.
  image.setUint32(IMAGE.rflags, image.getUint32(IMAGE.rflags, true) & ~RESUME_FLAG, true);
  // The kernel fills this in from the processor; it is no result.
  image.setUint32(IMAGE.mxcsr + 4, 0, true);
  image.setUint8(IMAGE.tag + 1, 0);
  if (mode !== 64) for (let i = 0; i < 16; i++) image.setUint32(8 * i + 4, 0, true);
  for (let i = 0; i < 8; i++) {
    image.setUint16(IMAGE.st + 16 * i + 10, 0, true);
    image.setUint32(IMAGE.st + 16 * i + 12, 0, true);
  }
  const vector = view.getUint32(at(RESULT.vector), true);
  if (vector === TIMED_OUT || vector === SYSTEM_CALL)
    return { image, fault: { vector, error: 0, address: 0n }, memory: [], segments: {} };
  const address = view.getBigUint64(at(RESULT.address), true);
  // Linux always reports the kernel's half as present; nothing is present there for a case.
  const error = view.getUint32(at(RESULT.error), true) & (address >> 47n === 0n ? ~0 : ~1);
  return {
    image,
    fault: vector === COMPLETED ? undefined : { vector, error, address },
    memory: parseRuns(view, at(RESULT.end), view.getUint16(at(RESULT.runs), true)),
    segments: parseSegments(view, at(RESULT.segments), mode),
  };
}

function parseRuns(view: DataView, start: number, count: number): MemoryRun[] {
  let at = start;
  return Array.from({ length: count }, () => {
    const offset = view.getUint16(at, true);
    const length = view.getUint16(at + 2, true);
    at += 4 + length;
    return { offset, bytes: new Uint8Array(view.buffer, view.byteOffset + at - length, length) };
  });
}

function parseSegments(view: DataView, start: number, mode: Mode): SegmentChanges {
  const changes: SegmentChanges = {};
  (['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const).forEach((name, i) => {
    const selector = BigInt(view.getUint16(start + 2 * i, true));
    if (selector !== initialSegment(mode, name)) changes[name] = selector;
  });
  for (const [key, offset] of [
    ['fsBase', RESULT.fsBase - 4],
    ['gsBase', RESULT.gsBase - 4],
  ] as const) {
    const base = view.getBigUint64(offset, true);
    if (base !== initialSegment(mode, key)) changes[key] = base;
  }
  return changes;
}

/** Throws `UnusableCase` for outcomes that say nothing about the instruction. */
export function checkUsable(outcome: Outcome, name: string): void {
  if (outcome.fault?.vector === TIMED_OUT) throw new UnusableCase(`${name} never ends`);
  if (outcome.fault?.vector === SYSTEM_CALL) throw new UnusableCase(`${name} calls the kernel`);
}
