/** Names that the host has noted in its hosts file (hosts(5)). */
import { readFileSync, statSync } from 'node:fs';
import { type Address, addressKind, canonicalAddress } from '../address.ts';

/** A file of more bytes is not read. */
const MOST_BYTES = 1 << 20;
/** Between two looks whether the file changed, in milliseconds. */
const LOOK_MS = 5000;

/** Addresses by lower-case name. Those that mean each host itself are left out. */
export function parseHosts(text: string): Map<string, Address[]> {
  const found = new Map<string, Address[]>();
  for (const line of text.split('\n')) {
    const [first, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = canonicalAddress(first!);
    if (address === undefined || addressKind(address) !== 'ordinary') continue;
    for (const name of names.map((one) => one.toLowerCase())) {
      const known = found.get(name) ?? [];
      if (!known.includes(address)) found.set(name, [...known, address]);
    }
  }
  return found;
}

/** Looks names up in a file, which may change meanwhile. */
export function createHostsFile(path: string): (name: string) => readonly Address[] {
  let known = new Map<string, Address[]>();
  let version = '';
  let looked = Number.NEGATIVE_INFINITY;

  function look(): void {
    const now = performance.now();
    if (now - looked < LOOK_MS) return;
    looked = now;
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const current = `${mtimeMs} ${size} ${ino}`;
      if (current === version) return;
      version = current;
      known = size > MOST_BYTES ? new Map() : parseHosts(readFileSync(path, 'utf8'));
    } catch {
      // Without the file the host has noted nothing.
      known = new Map();
      version = '';
    }
  }

  return (name) => {
    look();
    return known.get(name) ?? [];
  };
}
