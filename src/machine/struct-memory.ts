/** The shared memory in which the structs of a machine lie: those of its devices, its timers, its clock and its lock. */
import { VirtsError } from '../base/errors.ts';
import type { Fields, StructSchema } from '../base/struct.ts';
import type { Place } from '../devices/device.ts';
import type { Arena } from '../memory/arena.ts';

export interface StructMemory {
  /** As in the options. */
  readonly joins: boolean;
  readonly place: Place;
  /** Live view of the bytes of a struct that `place` gave. */
  bytesOf(state: object): Uint8Array;
}

/** Bytes ahead of each struct, of which four name it. */
const HEADER = 16;

/** What a struct's layout follows from, in a word that is not 0 (FNV-1a). */
function nameOf({ name, version, size }: StructSchema<Fields>): number {
  let hash = 0x811c9dc5;
  for (const char of `${name} ${version} ${size}`) hash = Math.imul(hash ^ char.charCodeAt(0), 0x0100_0193);
  return (hash | 1) >>> 0;
}

/**
 * Places structs in the arena; those that another thread made keep what they hold. Its `place` throws VirtsError 'no-space'
 * when that is used up, and 'internal' where a thread that joins places another struct than the first thread did.
 */
export function createStructMemory(arena: Arena): StructMemory {
  const bytes = new Map<object, Uint8Array>();
  return {
    joins: arena.thread > 0,
    place(schema, initial) {
      const header = arena.allocate(HEADER + schema.size, HEADER);
      const at = header + HEADER;
      const name = new Uint32Array(arena.buffer, header, 1);
      const expected = nameOf(schema);
      const view = schema.view(arena.buffer, at);
      if (arena.thread === 0) {
        initial?.(view);
        name[0] = expected;
      } else if (name[0] !== expected) {
        throw new VirtsError(
          'internal',
          `A thread of this machine expects ${schema.name} where another put something else.`,
        );
      }
      bytes.set(view, new Uint8Array(arena.buffer, at, schema.size));
      return view;
    },
    bytesOf(state) {
      const found = bytes.get(state);
      if (found === undefined) throw new VirtsError('internal', 'A device keeps its state outside the shared memory.');
      return found;
    },
  };
}
