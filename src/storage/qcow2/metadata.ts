/**
 * The tables of an open qcow2 image in memory: L1, and a cache of L2 tables and refcount blocks. Changes are made here and
 * reach the file by `flush`, in an order that leaves the image sound wherever it is cut off:
 *
 *   1. data and refcounts of what is newly used; the refcount table
 *   2. L2 tables, which refer to that
 *   3. the L1 table, which refers to new L2 tables
 *   4. only now may what is no longer referred to lose its refcount (`retire`), and be used for something else
 *
 * with a barrier after each, so that no later write is stable before an earlier one.
 */
import type { ByteFile } from '../byte-file.ts';
import { createLock } from '../lock.ts';
import { AT, damaged, type Header } from './header.ts';

/** A cluster of metadata. */
export interface Table {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Bytes of tables that are kept. */
const CACHE_BYTES = 32 * 2 ** 20;
/** Bytes of changed tables from which on they are written without being asked. */
const DIRTY_BYTES = 8 * 2 ** 20;

export type TableKind = 'l2' | 'refcount';

export interface Metadata {
  readonly l1: DataView;
  /** Offsets of refcount blocks, 0 for none. */
  readonly refcountTable: readonly number[];
  /** Where the refcount table is. */
  refcountTablePlace(): { readonly offset: number; readonly length: number };
  /** A table of the image. Rejects with 'bad-input' where no table can be, and 'io'. */
  load(offset: number): Promise<Table>;
  /** A new table, all zero, that no read needs to precede. It counts as changed. */
  create(offset: number, kind: TableKind): Table;
  /** Call it at once after changing a table that was just loaded, with no `await` between. */
  changed(table: Table, kind: TableKind): void;
  l1Changed(index: number): void;
  setRefcountBlock(index: number, offset: number): void;
  /** The refcount table is longer now and lies elsewhere. */
  moveRefcountTable(offset: number, entries: number): void;
  /** Clusters that nothing refers to from now on; `retire` gets them when that is stable. */
  retire(offset: number, length: number): void;
  /** Whether so much has changed that a flush is due. */
  flushIsDue(): boolean;
  /** Makes everything stable that was written and changed before. Calls that wait for the same flush share it. */
  flush(): Promise<void>;
}

export interface MetadataOptions {
  readonly file: ByteFile;
  readonly header: Header;
  readonly l1: Uint8Array;
  readonly refcountTable: readonly number[];
  /** Gets the pieces that were retired, when nothing stable refers to them any more. */
  readonly retired: (pieces: readonly { readonly offset: number; readonly length: number }[]) => void;
}

/** Everything that changed, as it was at one instant. */
interface Changes {
  readonly refcounts: readonly Table[];
  readonly l2: readonly Table[];
  readonly l1: readonly { readonly index: number; readonly bytes: Uint8Array }[];
  /** The whole refcount table, if it changed; and whether it moved. */
  readonly refcountTable: { readonly offset: number; readonly bytes: Uint8Array; readonly moved: boolean } | undefined;
  readonly retired: readonly { readonly offset: number; readonly length: number }[];
}

export function createMetadata({ file, header, l1: l1Bytes, retired, ...options }: MetadataOptions): Metadata {
  const { clusterSize } = header;
  const l1 = new DataView(l1Bytes.buffer, l1Bytes.byteOffset, l1Bytes.length);
  const refcountTable = [...options.refcountTable];
  let refcountTableOffset = header.refcountOffset;
  let refcountTableChanged = false;
  let refcountTableMoved = false;
  /** By offset, the least recently used first. */
  const cache = new Map<number, Table>();
  const loading = new Map<number, Promise<Table>>();
  const dirty = { l2: new Map<number, Table>(), refcount: new Map<number, Table>() };
  const dirtyL1 = new Set<number>();
  /** Tables on their way to the file: what is read there may be older. */
  let onTheWay: ReadonlySet<number> = new Set();
  let retiring: { offset: number; length: number }[] = [];
  const lock = createLock();
  let waiting: Promise<void> | undefined;

  function keep(table: Table): Table {
    cache.delete(table.offset);
    cache.set(table.offset, table);
    for (const { offset } of cache.values()) {
      if (cache.size * clusterSize <= CACHE_BYTES) break;
      if (offset !== table.offset && !isUnsaved(offset)) cache.delete(offset);
    }
    return table;
  }

  const isUnsaved = (offset: number) => dirty.l2.has(offset) || dirty.refcount.has(offset) || onTheWay.has(offset);

  function makeTable(offset: number): Table {
    const bytes = new Uint8Array(clusterSize);
    return { offset, bytes, view: new DataView(bytes.buffer) };
  }

  async function read(offset: number): Promise<Table> {
    const table = makeTable(offset);
    await file.read(offset, [table.bytes]);
    return keep(cache.get(offset) ?? table);
  }

  async function load(offset: number): Promise<Table> {
    const known = cache.get(offset);
    if (known !== undefined) return keep(known);
    const under = loading.get(offset);
    if (under !== undefined) return under;
    if (
      offset < clusterSize ||
      offset % clusterSize !== 0 ||
      offset + clusterSize > Math.ceil(file.size / clusterSize) * clusterSize
    ) {
      throw damaged(file, `a table at ${offset} lies outside the file or is not aligned`);
    }
    const promise = read(offset).finally(() => loading.delete(offset));
    loading.set(offset, promise);
    return promise;
  }

  function refcountTableBytes(): Uint8Array {
    const bytes = new Uint8Array(refcountTablePlace().length);
    const view = new DataView(bytes.buffer);
    for (const [i, offset] of refcountTable.entries()) view.setBigUint64(8 * i, BigInt(offset));
    return bytes;
  }

  function refcountTablePlace() {
    return { offset: refcountTableOffset, length: Math.ceil((refcountTable.length * 8) / clusterSize) * clusterSize };
  }

  const copies = (tables: Map<number, Table>) =>
    [...tables.values()].map((table) => ({ ...table, bytes: table.bytes.slice() }));

  /** Takes what changed; nothing counts as changed then. */
  function takeChanges(): Changes {
    const changes: Changes = {
      refcounts: copies(dirty.refcount),
      l2: copies(dirty.l2),
      l1: [...dirtyL1].map((index) => ({ index, bytes: l1Bytes.slice(8 * index, 8 * index + 8) })),
      refcountTable: refcountTableChanged
        ? { offset: refcountTableOffset, bytes: refcountTableBytes(), moved: refcountTableMoved }
        : undefined,
      retired: retiring,
    };
    dirty.refcount.clear();
    dirty.l2.clear();
    dirtyL1.clear();
    refcountTableChanged = false;
    refcountTableMoved = false;
    retiring = [];
    return changes;
  }

  /** Marks what could not be written as changed again. */
  function putBack(changes: Changes): void {
    for (const { offset } of changes.l2) dirty.l2.set(offset, cache.get(offset)!);
    for (const { offset } of changes.refcounts) dirty.refcount.set(offset, cache.get(offset)!);
    for (const { index } of changes.l1) dirtyL1.add(index);
    refcountTableChanged ||= changes.refcountTable !== undefined;
    refcountTableMoved ||= changes.refcountTable?.moved ?? false;
    retiring = [...changes.retired, ...retiring];
  }

  /** Lets the header name a refcount table that moved. Both fields lie in one sector. */
  async function writeRefcountTablePlace(offset: number, bytes: number): Promise<void> {
    const fields = new Uint8Array(12);
    const view = new DataView(fields.buffer);
    view.setBigUint64(0, BigInt(offset));
    view.setUint32(8, bytes / clusterSize);
    await file.write(AT.refcountOffset, [fields]);
    await file.sync();
  }

  async function write(changes: Changes): Promise<void> {
    const { refcounts, l2, l1, refcountTable: table } = changes;
    for (const { offset, bytes } of refcounts) await file.write(offset, [bytes]);
    if (table?.moved) await file.write(table.offset, [table.bytes]);
    await file.sync();
    if (table?.moved) await writeRefcountTablePlace(table.offset, table.bytes.length);
    else if (table !== undefined) {
      await file.write(table.offset, [table.bytes]);
      await file.sync();
    }
    if (l2.length > 0) {
      for (const { offset, bytes } of l2) await file.write(offset, [bytes]);
      await file.sync();
    }
    if (l1.length > 0) {
      for (const { index, bytes } of l1) await file.write(header.l1Offset + 8 * index, [bytes]);
      await file.sync();
    }
  }

  async function flushOnce(): Promise<void> {
    const changes = takeChanges();
    onTheWay = new Set([...changes.l2, ...changes.refcounts].map(({ offset }) => offset));
    try {
      await write(changes);
    } catch (error) {
      putBack(changes);
      throw error;
    } finally {
      onTheWay = new Set();
    }
    if (changes.retired.length > 0) retired(changes.retired);
  }

  return {
    l1,
    refcountTable,
    refcountTablePlace,
    load,
    create(offset, kind) {
      const table = makeTable(offset);
      dirty[kind].set(offset, table);
      return keep(table);
    },
    changed(table, kind) {
      dirty[kind].set(table.offset, table);
    },
    l1Changed: (index) => void dirtyL1.add(index),
    setRefcountBlock(index, offset) {
      refcountTable[index] = offset;
      refcountTableChanged = true;
    },
    moveRefcountTable(offset, entries) {
      retiring.push(refcountTablePlace());
      while (refcountTable.length < entries) refcountTable.push(0);
      refcountTableOffset = offset;
      refcountTableChanged = true;
      refcountTableMoved = true;
    },
    retire: (offset, length) => void retiring.push({ offset, length }),
    flushIsDue: () => (dirty.l2.size + dirty.refcount.size) * clusterSize > DIRTY_BYTES,
    flush() {
      // The next flush has not begun: it will see all that is done by now.
      waiting ??= lock(() => {
        waiting = undefined;
        return flushOnce();
      });
      return waiting;
    },
  };
}
