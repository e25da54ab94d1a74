/** Which handlers the core has, and the numbers by which records name them there. */
import { HANDLER_INDICES } from './record.ts';
import { SPECIAL } from './special-handlers.ts';

/** Most handlers in the core besides the special ones. */
export const CORE_SHAPES = 384;
/** Their numbers lie side by side with those of the special ones. */
export const CORE_START = SPECIAL.length + 1;
export const CORE_END = CORE_START + CORE_SHAPES;

/** A handler that has a number in the core keeps the one that it has by itself. */
export interface CorePlaces {
  /** The number of the same handler by itself. */
  alone(index: number): number;
  /** The number that records should have for a handler by itself. */
  named(index: number): number;
  /** The handlers, by themselves, that `counts` has most of by number: as many as there are places, the most frequent first. */
  rank(counts: Uint32Array, isHandler: (index: number) => boolean): number[];
  /** Fills the places with handlers by themselves. What all handlers are called from now on, by what they were called before. */
  fill(handlers: readonly number[]): Uint16Array;
  clear(): void;
}

export function createCorePlaces(): CorePlaces {
  /** Handlers by themselves in the order of their places, and the places by these. */
  let chosen: readonly number[] = [];
  let places = new Map<number, number>();
  const alone = (index: number): number => chosen[index - CORE_START] ?? index;
  const named = (index: number): number => places.get(index) ?? index;
  return {
    alone,
    named,
    rank(counts, isHandler) {
      const totals = new Map<number, number>();
      for (const [index, count] of counts.entries()) {
        const handler = alone(index);
        if (count > 0 && isHandler(handler)) totals.set(handler, (totals.get(handler) ?? 0) + count);
      }
      const order = [...totals].sort(([, a], [, b]) => b - a).slice(0, CORE_SHAPES);
      return order.map(([handler]) => handler);
    },
    fill(handlers) {
      const before = Uint16Array.from({ length: HANDLER_INDICES }, (_, index) => alone(index));
      chosen = handlers;
      places = new Map(handlers.map((handler, i) => [handler, CORE_START + i]));
      return before.map(named);
    },
    clear() {
      chosen = [];
      places.clear();
    },
  };
}
