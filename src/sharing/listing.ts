/** The contents of directories, as the guest is told them: with the attributes of all, if it asks for those. */
import { type Bytes, byteLength } from '../base/pieces.ts';
import { type DirectoryEntry, ERRNO, type Folder, Refusal, refuse } from './folder.ts';
import { isDots, type Message, putEntry, type Reply } from './message.ts';
import { ENTRY_SIZE } from './protocol.ts';
import type { Session } from './session.ts';

const DIRENT_SIZE = 24;
const padded = (length: number) => (length + 7) & ~7;

export interface ListingOptions<Item, Open, Listing> {
  readonly folder: Folder<Item, Open, Listing>;
  readonly session: Session<Item, Open, Listing>;
  readonly body: Reply;
}

export function createListing<Item, Open, Listing>(options: ListingOptions<Item, Open, Listing>) {
  const { folder, session, body } = options;

  /** The attributes of an entry. Who cannot be told of one is told its name. */
  function putAttributesOf(at: number, directory: Item, entry: DirectoryEntry): void {
    if (!isDots(entry.name)) {
      try {
        const found = folder.lookup(directory, entry.name);
        putEntry(body, at, session.tell(found).number, found.attributes);
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    }
    body.bytes.fill(0, at, at + ENTRY_SIZE);
  }

  /** Writes `struct fuse_dirent`. */
  function putName(at: number, { ino, next, name, type }: DirectoryEntry): void {
    const { view, bytes } = body;
    view.setBigUint64(at, ino, true);
    view.setBigUint64(at + 8, BigInt.asUintN(64, next), true);
    view.setUint32(at + 16, name.length, true);
    view.setUint32(at + 20, type, true);
    bytes.fill(0, at + DIRENT_SIZE, at + padded(DIRENT_SIZE + name.length));
    bytes.set(name, at + DIRENT_SIZE);
  }

  return {
    /** As many entries as there is room for, from the offset that the guest names. */
    readDirectory(message: Message, into: Bytes, plus: boolean): number {
      const listing = session.directory(message.number(0));
      const directory = session.node(message.node).item;
      const room = Math.min(message.u32(16), byteLength(into), body.bytes.length);
      let at = 0;
      for (let offset = BigInt.asIntN(64, message.u64(8)); ; ) {
        const entries = folder.list(listing, offset);
        for (const entry of entries) {
          const start = at + (plus ? ENTRY_SIZE : 0);
          const end = padded(start + DIRENT_SIZE + entry.name.length);
          if (end > room) return at === 0 ? refuse(ERRNO.EINVAL) : at;
          if (plus) putAttributesOf(at, directory, entry);
          putName(start, entry);
          at = end;
          offset = entry.next;
        }
        if (entries.length === 0) return at;
      }
    },
  };
}
