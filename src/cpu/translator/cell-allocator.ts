/** Runs of cells in an area of shared memory: first fit, and neighbours that are given back become one run again. */

export interface CellAllocator {
  /** Address of `count` cells in a row, or 0 where there is no such room. */
  allocate(count: number): number;
  /** Gives back all but the first `count` cells of a run. */
  trim(cell: number, count: number): void;
  release(cell: number): void;
  /** Bytes that are in use. */
  readonly used: number;
}

interface Run {
  from: number;
  to: number;
}

export function createCellAllocator(area: { base: number; size: number }, cellSize: number): CellAllocator {
  /** Free runs in order of address; no two of them touch. */
  const free: Run[] = [{ from: area.base, to: area.base + area.size }];
  const lengths = new Map<number, number>();
  let used = 0;

  /** Where in `free` the first run past an address is. */
  function after(address: number): number {
    let low = 0;
    let high = free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (free[middle].from < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function giveBack(from: number, to: number): void {
    used -= to - from;
    const at = after(from);
    const before = free[at - 1];
    const next = free[at];
    const joinsBefore = before?.to === from;
    const joinsNext = next?.from === to;
    if (joinsBefore && joinsNext) {
      before.to = next.to;
      free.splice(at, 1);
    } else if (joinsBefore) before.to = to;
    else if (joinsNext) next.from = from;
    else free.splice(at, 0, { from, to });
  }

  return {
    get used() {
      return used;
    },
    allocate(count) {
      const bytes = count * cellSize;
      const index = free.findIndex(({ from, to }) => to - from >= bytes);
      if (index < 0) return 0;
      const run = free[index];
      const cell = run.from;
      run.from += bytes;
      if (run.from === run.to) free.splice(index, 1);
      lengths.set(cell, bytes);
      used += bytes;
      return cell;
    },
    trim(cell, count) {
      const bytes = lengths.get(cell) as number;
      const kept = count * cellSize;
      if (kept >= bytes) return;
      lengths.set(cell, kept);
      giveBack(cell + kept, cell + bytes);
    },
    release(cell) {
      const bytes = lengths.get(cell) as number;
      lengths.delete(cell);
      giveBack(cell, cell + bytes);
    },
  };
}
