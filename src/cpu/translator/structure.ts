/**
 * Turns a control-flow graph into WebAssembly's structured control flow: loops around the headers of back-edges, blocks
 * for places where paths join, in the order of the dominator tree (Ramsey, "Beyond Relooper", 2022). Needs a reducible
 * graph.
 */

/** A graph over nodes 0 to n - 1; node 0 is the entry. */
export interface Graph {
  readonly successors: readonly (readonly number[])[];
}

export interface Structure {
  /** Nodes that can be reached, in reverse postorder. */
  readonly order: readonly number[];
  /** Position of each node in `order`, -1 where it cannot be reached. */
  readonly position: readonly number[];
  /** Nodes that a node dominates immediately, in reverse postorder. */
  readonly children: readonly (readonly number[])[];
  /** Target of a back-edge. */
  readonly isHeader: readonly boolean[];
  /** Reached by more than one forward edge. */
  readonly isMerge: readonly boolean[];
  /** Back-edges, as source and target, that lead to a node which does not dominate their source. */
  readonly irreducible: readonly (readonly [number, number])[];
}

function reversePostorder({ successors }: Graph): number[] {
  const seen = new Set<number>([0]);
  const order: number[] = [];
  const stack: { node: number; next: number }[] = [{ node: 0, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const target = successors[top.node][top.next++];
    if (target === undefined) {
      order.push(top.node);
      stack.pop();
    } else if (!seen.has(target)) {
      seen.add(target);
      stack.push({ node: target, next: 0 });
    }
  }
  return order.reverse();
}

/** Immediate dominators by position in reverse postorder (Cooper, Harvey and Kennedy, 2001). */
function dominators(predecessors: readonly (readonly number[])[]): number[] {
  const idom = [0];
  for (let changed = true; changed; ) {
    changed = false;
    for (let at = 1; at < predecessors.length; at++) {
      let found = -1;
      for (const p of predecessors[at]) {
        if (idom[p] === undefined) continue;
        found = found < 0 ? p : intersect(idom, p, found);
      }
      if (idom[at] !== found) {
        idom[at] = found;
        changed = true;
      }
    }
  }
  return idom;
}

function intersect(idom: readonly number[], a: number, b: number): number {
  let x = a;
  let y = b;
  while (x !== y) {
    while (x > y) x = idom[x];
    while (y > x) y = idom[y];
  }
  return x;
}

export function analyse(graph: Graph): Structure {
  const order = reversePostorder(graph);
  const position = graph.successors.map(() => -1);
  order.forEach((node, at) => {
    position[node] = at;
  });
  const predecessors: number[][] = order.map(() => []);
  order.forEach((node, at) => {
    for (const target of graph.successors[node]) predecessors[position[target]].push(at);
  });
  const idom = dominators(predecessors);
  const children: number[][] = graph.successors.map(() => []);
  for (let at = 1; at < order.length; at++) children[order[idom[at]]].push(order[at]);
  const dominates = (a: number, b: number) => {
    let at = b;
    while (at > a) at = idom[at];
    return at === a;
  };
  const isHeader = graph.successors.map(() => false);
  const isMerge = graph.successors.map(() => false);
  const irreducible: [number, number][] = [];
  predecessors.forEach((list, at) => {
    const back = list.filter((p) => p >= at);
    if (back.length > 0) isHeader[order[at]] = true;
    for (const p of back) if (!dominates(at, p)) irreducible.push([order[p], order[at]]);
    isMerge[order[at]] = list.length - back.length > 1;
  });
  return { order, position, children, isHeader, isMerge, irreducible };
}

/** Nodes that lie in a loop of a reducible graph. */
export function nodesInLoops({ successors }: Graph, { position }: Structure): boolean[] {
  const predecessors: number[][] = successors.map(() => []);
  successors.forEach((targets, node) => {
    if (position[node] >= 0) for (const target of targets) predecessors[target].push(node);
  });
  const inLoop = successors.map(() => false);
  successors.forEach((targets, node) => {
    if (position[node] < 0) return;
    for (const header of targets) {
      if (position[header] > position[node]) continue;
      const body = new Set([header]);
      const waiting = [node];
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        if (body.has(at)) continue;
        body.add(at);
        waiting.push(...predecessors[at]);
      }
      for (const member of body) inLoop[member] = true;
    }
  });
  return inLoop;
}

/** The structure of a graph without the edges that spoil it, and what is left of the graph. */
export function analyseReducible(whole: Graph): { graph: Graph; structure: Structure } {
  let graph = whole;
  for (;;) {
    const structure = analyse(graph);
    if (structure.irreducible.length === 0) return { graph, structure };
    const successors = graph.successors.map((list) => [...list]);
    for (const [from, to] of structure.irreducible) successors[from] = successors[from].filter((node) => node !== to);
    graph = { successors };
  }
}
