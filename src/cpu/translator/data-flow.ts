/**
 * Which locals of a region differ from the state block, and which hold something that is still needed. A region's exits
 * store no more than what may differ, and its entry and returns from guest calls load no more than what is needed.
 */
import { EMPTY, type RegisterSet, same, union, without } from './register-set.ts';

/** What one block does with registers. */
export interface BlockEffects {
  /** Read, or kept in part, before all of it is written. */
  uses: RegisterSet;
  /** Written on every path through the block. */
  defines: RegisterSet;
  /** Written on some path, and not to the state block at once. */
  changes: RegisterSet;
  /** Written to the state block too, on every path. */
  stores: RegisterSet;
}

export interface FlowNode {
  readonly effects: BlockEffects;
  readonly successors: readonly number[];
  /** Ends in a guest call: all goes to the state block before it, and comes from there after it. */
  readonly calls: boolean;
}

export interface Flow {
  /** By block: what may differ from the state block on entry. */
  readonly dirty: readonly RegisterSet[];
  /** By block: what must be in its local on entry. */
  readonly live: readonly RegisterSet[];
}

function solveDirty(nodes: readonly FlowNode[]): RegisterSet[] {
  const dirty = nodes.map(() => EMPTY);
  for (let changed = true; changed; ) {
    changed = false;
    nodes.forEach(({ effects, successors, calls }, at) => {
      if (calls) return;
      const out = union(without(dirty[at], effects.stores), effects.changes);
      for (const next of successors) {
        const merged = union(dirty[next], out);
        if (same(merged, dirty[next])) continue;
        dirty[next] = merged;
        changed = true;
      }
    });
  }
  return dirty;
}

function solveLive(nodes: readonly FlowNode[], dirty: readonly RegisterSet[]): RegisterSet[] {
  // Any exit of a block stores what is dirty: a local that was written on one path must be right on all.
  const live = nodes.map(({ effects }, at) => union(effects.uses, dirty[at]));
  for (let changed = true; changed; ) {
    changed = false;
    for (let at = nodes.length - 1; at >= 0; at--) {
      const { effects, successors, calls } = nodes[at];
      if (calls) continue;
      let merged = live[at];
      for (const next of successors) merged = union(merged, without(live[next], effects.defines));
      if (same(merged, live[at])) continue;
      live[at] = merged;
      changed = true;
    }
  }
  return live;
}

export function solveFlow(nodes: readonly FlowNode[]): Flow {
  const dirty = solveDirty(nodes);
  return { dirty, live: solveLive(nodes, dirty) };
}
