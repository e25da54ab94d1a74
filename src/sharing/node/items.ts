/**
 * The items of a folder of the host: each is held by a descriptor (`O_PATH`), so that it is itself whatever happens to its name.
 * There are only so many descriptors; an item that was not used for long gives up its own, and is found again by its name, if it is
 * still there.
 */
import { ERRNO, Refusal, refuse } from '../folder.ts';
import { type Calls, NO_FOLLOW, OPEN, succeeded } from './calls.ts';
import { emptyNoteCache, type NoteCache } from './ownership.ts';
import { type Status, statusOf } from './status.ts';

export interface HostItem {
  readonly key: string;
  /** Where it was last seen. The root has no directory. */
  directory: HostItem | undefined;
  name: Uint8Array;
  /** The descriptor, or -1. */
  file: number;
  /** It may have no name any more, so that its descriptor must be kept. */
  pinned: boolean;
  readonly notes: NoteCache;
}

export interface Items {
  readonly root: HostItem;
  /** Its descriptor. @throws Refusal `ESTALE` where it can be found no more. */
  fileOf(item: HostItem): number;
  /** What has a name in a directory; it is held from now on. `isNew`: it was not before. */
  find(
    directory: HostItem,
    name: Uint8Array,
  ): { readonly item: HostItem; readonly status: Status; readonly isNew: boolean };
  /** The item of that name, if it is held: it is known to be there now. */
  held(directory: HostItem, name: Uint8Array): HostItem | undefined;
  /** An item is about to lose a name: it stays usable. */
  pin(item: HostItem): void;
  release(item: HostItem): void;
  /** Items held now, and descriptors of them. */
  count(): { readonly items: number; readonly files: number };
  close(): void;
}

const HOLD = OPEN.path | NO_FOLLOW | OPEN.closeOnExec;

/** Items whose names are gone keep their descriptors unless more than this part of all are theirs: only a guest out for that has so many. */
const PINNED_SHARE = 2;
/** Names tried one below the other to find an item again. What was moved on the host may even seem to lie in itself. */
const DEEPEST = 1000;

/** `most`: descriptors that they may take, at least 8. `root`: a descriptor of the folder itself, which is theirs from now on. */
export function createItems(calls: Calls, root: number, most: number): Items {
  const held = new Map<string, HostItem>();
  /** Items with a descriptor, that used longest ago first; the root is not among them. */
  const open = new Set<HostItem>();
  let pinned = 0;

  const newItem = (key: string, directory: HostItem | undefined, name: Uint8Array, file: number): HostItem => {
    return { key, directory, name, file, pinned: false, notes: emptyNoteCache() };
  };
  const rootItem = newItem(statusOf(calls, root).key, undefined, new Uint8Array(), root);
  held.set(rootItem.key, rootItem);

  function giveUp(item: HostItem): void {
    if (item === rootItem || item.file === -1) return;
    calls.close(item.file);
    item.file = -1;
    open.delete(item);
    if (item.pinned) {
      item.pinned = false;
      pinned--;
    }
  }

  /** Makes room for one more descriptor. */
  function makeRoom(): void {
    for (const item of open) {
      if (open.size < most) return;
      if (!item.pinned || pinned > most / PINNED_SHARE) giveUp(item);
    }
  }

  function touch(item: HostItem): void {
    if (item === rootItem) return;
    open.delete(item);
    open.add(item);
  }

  function adopt(item: HostItem, file: number): void {
    item.file = file;
    open.add(item);
  }

  /** Opens what has a name; the descriptor is nobody's yet. */
  function openNamed(directory: HostItem, name: Uint8Array, depth = 0): { file: number; status: Status } {
    makeRoom();
    const file = succeeded(calls.openat(fileOf(directory, depth), terminated(name), HOLD, 0));
    try {
      return { file, status: statusOf(calls, file) };
    } catch (error) {
      calls.close(file);
      throw error;
    }
  }

  /** As `openNamed`, for an item that was there: that its name is gone does not say that something in it is. */
  function openAgain(...where: Parameters<typeof openNamed>): ReturnType<typeof openNamed> {
    try {
      return openNamed(...where);
    } catch (error) {
      const isGone = error instanceof Refusal && (error.errno === ERRNO.ENOENT || error.errno === ERRNO.ENOTDIR);
      if (isGone) refuse(ERRNO.ESTALE);
      throw error;
    }
  }

  function fileOf(item: HostItem, depth = 0): number {
    if (item.file !== -1) {
      touch(item);
      return item.file;
    }
    if (item.directory === undefined || depth > DEEPEST) refuse(ERRNO.ESTALE);
    const { file, status } = openAgain(item.directory, item.name, depth + 1);
    if (status.key !== item.key) {
      calls.close(file);
      refuse(ERRNO.ESTALE);
    }
    adopt(item, file);
    return file;
  }

  /** An item was found where `file` is. */
  function meet(known: HostItem, directory: HostItem, name: Uint8Array, file: number): void {
    if (known !== rootItem) {
      known.directory = directory;
      known.name = name;
    }
    if (known.file === -1) adopt(known, file);
    else {
      calls.close(file);
      touch(known);
    }
  }

  return {
    root: rootItem,
    fileOf: (item) => fileOf(item),
    find(directory, name) {
      const { file, status } = openNamed(directory, name);
      const known = held.get(status.key);
      if (known !== undefined) {
        meet(known, directory, name, file);
        return { item: known, status, isNew: false };
      }
      const item = newItem(status.key, directory, name, -1);
      held.set(item.key, item);
      adopt(item, file);
      return { item, status, isNew: true };
    },
    held(directory, name) {
      const { file, status } = openNamed(directory, name);
      const known = held.get(status.key);
      if (known === undefined) calls.close(file);
      else meet(known, directory, name, file);
      return known;
    },
    pin(item) {
      if (item === rootItem || item.pinned) return;
      item.pinned = true;
      pinned++;
    },
    release(item) {
      if (item === rootItem) return;
      held.delete(item.key);
      giveUp(item);
    },
    count: () => ({ items: held.size, files: open.size + 1 }),
    close() {
      for (const item of [...open]) giveUp(item);
      held.clear();
      calls.close(root);
    },
  };
}

const names = new Uint8Array(4096);

/** A name with a NUL behind it, until the next one. Longer ones than the host can have are refused by it, cut or not. */
function terminated(name: Uint8Array): Uint8Array {
  if (name.length >= names.length) refuse(ERRNO.ENAMETOOLONG);
  names.set(name);
  names[name.length] = 0;
  return names;
}
