/**
 * The locals of a function while it is encoded. A local serves one value or variable after the other. One that was
 * in use before a loop began is needed until the loop ends, wherever in it the last use stands: the loop may run again.
 */
import type { Type } from '../types.ts';

interface Loop {
  /** Length of the code where its body begins. */
  readonly start: number;
  /** Locals to free at its end. */
  readonly kept: number[];
}

export class Slots {
  /** Types of all locals, parameters first. */
  readonly types: Type[];
  readonly #free: Record<Type, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  /** Length of the code where a local came into its present use. */
  readonly #taken: number[];
  readonly #loops: Loop[] = [];

  constructor(params: readonly Type[]) {
    this.types = [...params];
    this.#taken = params.map(() => 0);
  }

  /** A local that nobody has had: zero until it is set. */
  add(type: Type): number {
    return this.types.push(type) - 1;
  }

  /** A local to be set now, `at` bytes into the code. */
  take(type: Type, at: number): number {
    const local = this.#free[type].pop() ?? this.add(type);
    this.#taken[local] = at;
    return local;
  }

  /** Gives back what `take` gave, after the last use in the text. `false`: a loop may still read it. */
  release(local: number): boolean {
    const taken = this.#taken[local];
    for (const loop of this.#loops) {
      if (loop.start > taken) {
        loop.kept.push(local);
        return false;
      }
    }
    this.#free[this.types[local]].push(local);
    return true;
  }

  /** A loop's body begins, `start` bytes into the code. */
  enterLoop(start: number): void {
    this.#loops.push({ start, kept: [] });
  }

  leaveLoop(): void {
    const loop = this.#loops.pop() as Loop;
    for (const local of loop.kept) this.#free[this.types[local]].push(local);
  }
}
