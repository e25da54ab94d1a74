/** A board for tests: devices on a buffer of its own, a clock that the test moves, and notes of what it asked for. */
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { smallArena } from '../memory/arena.test-helper.ts';
import { flatMemory } from '../memory/guest-memory.ts';
import { type Board, createBoard } from './board.ts';
import type { BoardOptions } from './board-options.ts';
import { countedClock } from './clock.ts';
import { createStructMemory } from './struct-memory.ts';
import { createTimers, type MachineTimers } from './timers.ts';

export const MEMORY_SIZE = 4 * 1024 * 1024;
/** 2026-01-02 03:04:05 UTC. */
export const EPOCH = Date.UTC(2026, 0, 2, 3, 4, 5);

export interface RigOptions extends Partial<BoardOptions> {
  /** Each has a board of its own over the same memory; 1 if absent. */
  readonly threads?: number;
  /** The thread, below `threads`, that acts next. Whoever asks the rig for a board or for timers gets that thread's. */
  readonly turn?: () => number;
}

/** Ports of the board's devices, and how many from each on. */
export const PORTS: readonly (readonly [port: number, count: number])[] = [
  [0x20, 2],
  [0xa0, 2],
  [0x4d0, 2],
  [0x40, 4],
  [0x60, 5],
  [0x70, 2],
  [0x92, 1],
  [0x3f8, 8],
  [0x2f8, 8],
  [0x600, 0x24],
  [0xcf8, 8],
  [0xb2, 2],
];

export function boardRig({ threads = 1, turn = () => 0, ...options }: RigOptions = {}) {
  const clock = countedClock({ nsPerInstruction: 1 });
  const memory = flatMemory(MEMORY_SIZE);
  const asked: string[] = [];
  const said: string[] = [];
  const output: number[] = [];
  const consoleOutput: number[] = [];
  const vcpus = options.description?.vcpus ?? STANDARD_BOARD.vcpus;
  const { buffer } = smallArena();

  function makeThread(thread: number): { readonly board: Board; readonly timers: MachineTimers } {
    const structs = createStructMemory(smallArena(buffer, thread));
    const timers = createTimers(clock, { vcpus, place: structs.place });
    const board = createBoard({
      structs,
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
    return { board, timers };
  }

  const made = Array.from({ length: threads }, (_, thread) => makeThread(thread));
  const board = () => made[turn()].board;
  const config = (slot: number, register: number) =>
    board().ports.write(0xcf8, 4, 0x80000000 + slot * 0x800 + (register & 0xfc));

  return {
    get board() {
      return board();
    },
    get timers() {
      return made[turn()].timers;
    },
    clock,
    memory,
    asked,
    said,
    output,
    consoleOutput,
    out: (port: number, ...values: readonly number[]) => {
      for (const value of values) board().ports.write(port, 1, value);
    },
    inb: (port: number) => board().ports.read(port, 1),
    read32: (address: number) => board().mmio.read(address, 4),
    write32: (address: number, value: number) => board().mmio.write(address, 4, value),
    readConfig(slot: number, register: number, size: 1 | 2 | 4): number {
      config(slot, register);
      return board().ports.read(0xcfc + (register & 3), size);
    },
    writeConfig(slot: number, register: number, size: 1 | 2 | 4, value: number): void {
      config(slot, register);
      board().ports.write(0xcfc + (register & 3), size, value);
    },
    /** Lets time pass, firing timers as they fall due. */
    pass(ns: number): void {
      const end = clock.now() + ns;
      for (;;) {
        const { timers } = made[turn()];
        if (timers.next() > end) break;
        clock.skipTo(timers.next());
        timers.run();
      }
      clock.skipTo(end);
    },
    /** Writes the whole entry `input` of the I/O APIC: an edge-triggered or level-triggered vector for APIC 0. */
    route(input: number, entry: number): void {
      const { mmio } = board();
      mmio.write(0xfec00000, 1, 0x11 + 2 * input);
      mmio.write(0xfec00010, 4, 0);
      mmio.write(0xfec00000, 1, 0x10 + 2 * input);
      mmio.write(0xfec00010, 4, entry);
    },
  };
}

export type BoardRig = ReturnType<typeof boardRig>;
