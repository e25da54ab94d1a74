/** A board for tests: devices on a buffer of its own, a clock that the test moves, and notes of what it asked for. */
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { type Arena, createArena } from '../memory/arena.ts';
import { flatMemory } from '../memory/guest-memory.ts';
import { type Board, createBoard } from './board.ts';
import type { BoardOptions } from './board-options.ts';
import { countedClock } from './clock.ts';
import { createStructMemory } from './struct-memory.ts';
import { createTimers } from './timers.ts';

/** Memory for structs, without the hundreds of mebibytes of a machine's; `buffer` is that of thread 0's arena. */
export const smallArena = (buffer = new SharedArrayBuffer(1 << 20), thread = 0): Arena =>
  createArena(buffer, { end: buffer.byteLength, thread });

export const MEMORY_SIZE = 4 * 1024 * 1024;
/** 2026-01-02 03:04:05 UTC. */
export const EPOCH = Date.UTC(2026, 0, 2, 3, 4, 5);

export function boardRig(options: Partial<BoardOptions> = {}) {
  const clock = countedClock({ nsPerInstruction: 1 });
  const vcpus = options.description?.vcpus ?? STANDARD_BOARD.vcpus;
  const timers = createTimers(clock, { vcpus });
  const memory = flatMemory(MEMORY_SIZE);
  const asked: string[] = [];
  const said: string[] = [];
  const output: number[] = [];
  const consoleOutput: number[] = [];
  const board: Board = createBoard({
    structs: createStructMemory(smallArena()),
    memory,
    timers,
    wall: { epoch: EPOCH },
    random: (bytes) => bytes.fill(0x42),
    serial: [{ backend: { write: (byte) => output.push(byte) } }],
    console: { ports: [{ backend: { write: (bytes) => consoleOutput.push(...bytes) } }] },
    vcpus: Array.from({ length: vcpus }, (_, n) => ({
      interrupt: () => {},
      nmi: () => asked.push(`nmi ${n}`),
      smi: () => {},
      init: () => asked.push(`init ${n}`),
      startup: (vector) => asked.push(`startup ${n} ${vector}`),
    })),
    tscToNs: Number,
    log: (message) => said.push(message),
    powerOff: () => asked.push('power off'),
    reset: () => asked.push('reset'),
    debugExit: (status) => asked.push(`exit ${status}`),
    ...options,
  });
  const { ports, mmio } = board;
  const config = (slot: number, register: number) =>
    ports.write(0xcf8, 4, 0x80000000 + slot * 0x800 + (register & 0xfc));

  return {
    board,
    clock,
    timers,
    memory,
    asked,
    said,
    output,
    consoleOutput,
    out: (port: number, ...values: readonly number[]) => {
      for (const value of values) ports.write(port, 1, value);
    },
    inb: (port: number) => ports.read(port, 1),
    read32: (address: number) => mmio.read(address, 4),
    write32: (address: number, value: number) => mmio.write(address, 4, value),
    readConfig(slot: number, register: number, size: 1 | 2 | 4): number {
      config(slot, register);
      return ports.read(0xcfc + (register & 3), size);
    },
    writeConfig(slot: number, register: number, size: 1 | 2 | 4, value: number): void {
      config(slot, register);
      ports.write(0xcfc + (register & 3), size, value);
    },
    /** Lets time pass, firing timers as they fall due. */
    pass(ns: number): void {
      const end = clock.now() + ns;
      while (timers.next() <= end) {
        clock.skipTo(timers.next());
        timers.run();
      }
      clock.skipTo(end);
    },
    /** Writes the whole entry `input` of the I/O APIC: an edge-triggered or level-triggered vector for APIC 0. */
    route(input: number, entry: number): void {
      mmio.write(0xfec00000, 1, 0x11 + 2 * input);
      mmio.write(0xfec00010, 4, 0);
      mmio.write(0xfec00000, 1, 0x10 + 2 * input);
      mmio.write(0xfec00010, 4, entry);
    },
  };
}

export type BoardRig = ReturnType<typeof boardRig>;
