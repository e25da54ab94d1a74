/** Memory that all connections of a network share: what one takes beyond its own part comes out of this. */

export interface Budget {
  /** Takes so many bytes, if there are as many. */
  take(bytes: number): boolean;
  give(bytes: number): void;
  readonly left: number;
}

export function createBudget(bytes: number): Budget {
  let left = bytes;
  return {
    get left() {
      return left;
    },
    take(count) {
      if (count > left) return false;
      left -= count;
      return true;
    },
    give(count) {
      left += count;
    },
  };
}
