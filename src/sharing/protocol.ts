/**
 * The messages that a guest and the server of its folder exchange: those of FUSE (`include/uapi/linux/fuse.h` of Linux, version 7.31)
 * as virtio carries them (virtio 1.2 5.11.6). Little-endian; names end in NUL.
 */
export const VERSION = { major: 7, minor: 31 } as const;
/** The oldest minor version that is understood: since then the structures are as they are. */
export const OLDEST_MINOR = 23;

export const OPERATION = {
  lookup: 1,
  forget: 2,
  getAttributes: 3,
  setAttributes: 4,
  readLink: 5,
  symlink: 6,
  makeNode: 8,
  makeDirectory: 9,
  unlink: 10,
  removeDirectory: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statistics: 17,
  release: 18,
  sync: 20,
  flush: 25,
  init: 26,
  openDirectory: 27,
  readDirectory: 28,
  releaseDirectory: 29,
  syncDirectory: 30,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  allocate: 43,
  readDirectoryPlus: 44,
  rename2: 45,
  seek: 46,
} as const;

/** The node that the folder itself is. */
export const ROOT = 1n;

/** Bytes of the headers. */
export const IN_HEADER = 40;
export const OUT_HEADER = 16;
/** Bytes of fixed structures in requests, header not counted. */
export const IN_SIZE = { write: 40 } as const;
export const ENTRY_SIZE = 128;
export const ATTRIBUTES_SIZE = 88;

/** What may be agreed upon at the start. */
export const FEATURE = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  autoInvalidate: 1 << 12,
  readDirectoryPlus: 1 << 13,
  readDirectoryPlusAuto: 1 << 14,
  parallelDirectories: 1 << 18,
  maxPages: 1 << 22,
} as const;

/** Which attributes a request sets. */
export const SET = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  file: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSetId: 1 << 11,
} as const;

/** How an open file is cached in the guest. */
export const OPENED = { keepCache: 1 << 1 } as const;
/** Flags of `open(2)`, as x86 guests have them. */
export const OPEN_FLAG = {
  access: 3,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  dataSync: 0o10000,
  sync: 0o4000000,
} as const;
export const RENAME_FLAG = { noReplace: 1, exchange: 2 } as const;
export const SYNC_FLAG = { dataOnly: 1 } as const;
/** `whence` of a seek. */
export const SEEK = { data: 3, hole: 4 } as const;
