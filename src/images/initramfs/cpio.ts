/** Writes cpio archives in the "newc" form that the Linux kernel unpacks (Documentation/driver-api/early-userspace/buffer-format). */
import { VirtsError } from '../../base/errors.ts';

/** An entry; paths are relative and without `.` or `..`. Owner is root, the time is 1970: the same input gives the same bytes. */
export type CpioEntry =
  | { readonly type: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly type: 'file'; readonly path: string; readonly content: Uint8Array | string; readonly mode?: number }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'character-device';
      readonly path: string;
      readonly major: number;
      readonly minor: number;
      readonly mode?: number;
    };

/** File type bits of `st_mode`. */
const TYPE_BITS = { directory: 0o040000, file: 0o100000, symlink: 0o120000, 'character-device': 0o020000 } as const;
const DEFAULT_MODE = { directory: 0o755, file: 0o644, symlink: 0o777, 'character-device': 0o600 } as const;
const TRAILER = 'TRAILER!!!';
const HEADER = 110;
/** A field is eight hexadecimal digits. */
const MAX_FIELD = 0xffff_ffff;

const encoder = new TextEncoder();

const align4 = (length: number): number => (length + 3) & ~3;

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.type === 'symlink') return encoder.encode(entry.target);
  if (entry.type !== 'file') return new Uint8Array(0);
  return typeof entry.content === 'string' ? encoder.encode(entry.content) : entry.content;
}

interface Member {
  readonly name: Uint8Array;
  readonly header: Uint8Array;
  readonly content: Uint8Array;
}

function member(
  path: string,
  mode: number,
  inode: number,
  links: number,
  device: readonly [major: number, minor: number],
  content: Uint8Array,
): Member {
  const name = encoder.encode(`${path}\0`);
  if (content.length > MAX_FIELD) throw new VirtsError('no-space', `${path} is too large for an initramfs (4 GiB).`);
  // inode, mode, uid, gid, links, mtime, size, device of the file system (2), device (2), length of the name, checksum
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, ...device, name.length, 0];
  return { name, header: encoder.encode(`070701${fields.map(hex).join('')}`), content };
}

function memberOf(entry: CpioEntry, inode: number): Member {
  if (entry.path === '' || entry.path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw new VirtsError('internal', `'${entry.path}' cannot be a path in an initramfs.`);
  }
  const permissions = entry.type === 'symlink' ? DEFAULT_MODE.symlink : (entry.mode ?? DEFAULT_MODE[entry.type]);
  const device = entry.type === 'character-device' ? ([entry.major, entry.minor] as const) : ([0, 0] as const);
  const links = entry.type === 'directory' ? 2 : 1;
  return member(entry.path, TYPE_BITS[entry.type] | permissions, inode, links, device, contentOf(entry));
}

/** Makes an archive of `entries`, in their order: a directory must come before what is in it. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const members = entries.map((entry, at) => memberOf(entry, at + 1));
  members.push(member(TRAILER, 0, 0, 1, [0, 0], new Uint8Array(0)));
  const sizes = members.map(({ name, content }) => align4(HEADER + name.length) + align4(content.length));
  const archive = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  for (const [index, { name, header, content }] of members.entries()) {
    archive.set(header, at);
    archive.set(name, at + HEADER);
    archive.set(content, at + align4(HEADER + name.length));
    at += sizes[index]!;
  }
  return archive;
}
