/** The breakpoints and watchpoints that a debugger has set: packets `Z` and `z`. */
import { parseAddress, parseNumber } from './hex.ts';
import type { DebugTarget, Watchpoint } from './target.ts';

/** Numbers of the kinds in the packets. */
const KINDS = ['software', 'hardware', 'write', 'read', 'access'] as const;

type PointKind = (typeof KINDS)[number];

interface Point {
  readonly kind: PointKind;
  readonly address: bigint;
  readonly length: number;
}

export interface BreakpointTable {
  /** Carries out a packet, `Z` or `z` included: `false` if refused, `undefined` if there is no such kind. */
  packet(data: string): boolean | undefined;
  /** What stops at an address: a software breakpoint, a hardware one, or nothing. */
  at(address: bigint): 'software' | 'hardware' | undefined;
  clear(): void;
}

function parse(data: string): Point | undefined {
  const match = /^.([0-4]),([0-9a-f]+),([0-9a-f]+)/i.exec(data);
  const address = parseAddress(match?.[2]);
  const length = parseNumber(match?.[3]);
  if (match === null || address === undefined || length === undefined) return undefined;
  return { kind: KINDS[Number(match[1])]!, address, length };
}

const isBreakpoint = (kind: PointKind) => kind === 'software' || kind === 'hardware';

export function createBreakpointTable(target: DebugTarget): BreakpointTable {
  const points = new Map<string, Point>();

  function apply(breakpoints: boolean): boolean {
    const chosen = [...points.values()].filter(({ kind }) => isBreakpoint(kind) === breakpoints);
    if (breakpoints) {
      target.setBreakpoints(new Set(chosen.map(({ address }) => address)));
      return true;
    }
    return target.setWatchpoints?.(chosen as Watchpoint[]) ?? false;
  }
  return {
    packet(data) {
      if (!/^.[0-4],/.test(data)) return undefined;
      const point = parse(data);
      if (point === undefined) return false;
      const { kind, address, length } = point;
      if (!isBreakpoint(kind) && target.setWatchpoints === undefined) return undefined;
      // The length of a breakpoint says how the debugger would have written it into memory.
      const key = isBreakpoint(kind) ? `${kind} ${address}` : `${kind} ${address} ${length}`;
      if (data[0] === 'z') return !points.delete(key) || apply(isBreakpoint(kind));
      if (points.has(key)) return true;
      points.set(key, point);
      if (apply(isBreakpoint(kind))) return true;
      points.delete(key);
      return false;
    },
    at: (address) => (['software', 'hardware'] as const).find((kind) => points.has(`${kind} ${address}`)),
    clear() {
      points.clear();
      target.setBreakpoints(new Set());
      target.setWatchpoints?.([]);
    },
  };
}
