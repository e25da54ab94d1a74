/** What a guest holds of its folder while it has that mounted: nodes, by the numbers that it was told, and open files. */
import { type Attributes, ERRNO, type Folder, type Found, refuse } from './folder.ts';
import { ROOT } from './protocol.ts';

export interface Node<Item> {
  readonly number: number;
  readonly item: Item;
  /** How often the guest was told of it and did not say that it forgot. */
  told: number;
  /** As it was when it was opened last; then the guest may have kept what it read. */
  opened: Attributes | undefined;
}

/** Something open. */
export type Opened<Open, Listing> =
  | { readonly kind: 'file'; readonly open: Open; readonly writes: boolean }
  | { readonly kind: 'directory'; readonly listing: Listing };

export interface SessionLimits {
  /** Nodes: a guest keeps as many as its memory lets it. */
  readonly nodes: number;
  /** Open files and directories. */
  readonly open: number;
}

export interface Session<Item, Open, Listing> {
  /** @throws Refusal `ESTALE`. */
  node(number: number): Node<Item>;
  /** The guest is told of an item. @throws Refusal `ENFILE` where it holds too many. */
  tell(found: Found<Item>): Node<Item>;
  forget(number: number, times: number): void;
  /** Refuses (`EMFILE`) before something is opened in vain. */
  roomToOpen(): void;
  /** Keeps something open; returns its number. */
  keep(opened: Opened<Open, Listing>): number;
  /** @throws Refusal `EBADF`. */
  file(number: number): Opened<Open, Listing> & { readonly kind: 'file' };
  directory(number: number): Listing;
  release(number: number, kind: 'file' | 'directory'): void;
  /** Gives everything up. */
  clear(): void;
  count(): { readonly nodes: number; readonly open: number };
}

export function createSession<Item, Open, Listing>(
  folder: Folder<Item, Open, Listing>,
  limits: SessionLimits,
): Session<Item, Open, Listing> {
  const nodes = new Map<number, Node<Item>>();
  const byItem = new Map<Item, Node<Item>>();
  const opened = new Map<number, Opened<Open, Listing>>();
  /** Numbers are given once, so that one from before cannot stand for something else. */
  let lastNode = Number(ROOT);
  let lastOpened = 0;

  function add(number: number, item: Item): Node<Item> {
    const node: Node<Item> = { number, item, told: 0, opened: undefined };
    nodes.set(number, node);
    byItem.set(item, node);
    return node;
  }
  const isRoot = ({ number }: Node<Item>) => number === Number(ROOT);
  add(Number(ROOT), folder.root);

  function shut(file: Opened<Open, Listing>): void {
    if (file.kind === 'file') folder.close(file.open);
    else folder.closeDirectory(file.listing);
  }

  function drop(node: Node<Item>): void {
    nodes.delete(node.number);
    byItem.delete(node.item);
    folder.release(node.item);
  }

  function file(number: number): Opened<Open, Listing> & { readonly kind: 'file' } {
    const found = opened.get(number);
    return found?.kind === 'file' ? found : refuse(ERRNO.EBADF);
  }
  function directory(number: number): Listing {
    const found = opened.get(number);
    return found?.kind === 'directory' ? found.listing : refuse(ERRNO.EBADF);
  }

  return {
    node: (number) => nodes.get(number) ?? refuse(ERRNO.ESTALE),
    tell({ item }) {
      let node = byItem.get(item);
      if (node === undefined) {
        if (nodes.size >= limits.nodes) {
          folder.release(item);
          refuse(ERRNO.ENFILE);
        }
        node = add(++lastNode, item);
      }
      node.told++;
      return node;
    },
    forget(number, times) {
      const node = nodes.get(number);
      if (node === undefined || isRoot(node)) return;
      node.told -= times;
      if (node.told <= 0) drop(node);
    },
    roomToOpen() {
      if (opened.size >= limits.open) refuse(ERRNO.EMFILE);
    },
    keep(what) {
      opened.set(++lastOpened, what);
      return lastOpened;
    },
    file,
    directory,
    release(number, kind) {
      const found = opened.get(number);
      if (found?.kind !== kind) refuse(ERRNO.EBADF);
      opened.delete(number);
      shut(found);
    },
    clear() {
      for (const file of opened.values()) shut(file);
      opened.clear();
      for (const node of [...nodes.values()]) {
        if (!isRoot(node)) drop(node);
        else Object.assign(node, { told: 0, opened: undefined });
      }
    },
    count: () => ({ nodes: nodes.size, open: opened.size }),
  };
}
