/** An initramfs around busybox. */
import type { CpioEntry } from './cpio.ts';
import type { ModuleSet } from './modules.ts';

export interface InitramfsParts {
  /** The program, statically linked. */
  readonly busybox: Uint8Array;
  /** The kernel's, as `uname -r` says it. */
  readonly version: string;
  readonly modules: ModuleSet;
  /** Directories besides those that other parts bring. */
  readonly directories: readonly string[];
  /** Text files by path. */
  readonly texts: Readonly<Record<string, string>>;
  readonly isExecutable: (path: string) => boolean;
  /** Further files and links. */
  readonly extra?: readonly CpioEntry[];
}

/** The entries with the directories above them in front, outermost first, besides those that are there. */
export function withDirectories(entries: readonly CpioEntry[], there: readonly string[] = []): CpioEntry[] {
  const found = new Set<string>();
  for (const { path } of entries) {
    const parts = path.split('/').slice(0, -1);
    for (const at of parts.keys()) found.add(parts.slice(0, at + 1).join('/'));
  }
  const above = [...found].filter((path) => !there.includes(path)).toSorted();
  return [...above.map((path): CpioEntry => ({ type: 'directory', path })), ...entries];
}

function moduleEntries(version: string, { files, dep, alias }: ModuleSet): CpioEntry[] {
  const all: [string, Uint8Array | string][] = [
    ...files,
    ['modules.dep', dep],
    ['modules.alias', alias],
    ['modules.symbols', ''],
  ];
  return all.map(([path, content]) => ({ type: 'file', path: `lib/modules/${version}/${path}`, content }));
}

export function initramfsEntries(parts: InitramfsParts): CpioEntry[] {
  const { directories, isExecutable } = parts;
  const files: CpioEntry[] = [
    { type: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { type: 'file', path: 'bin/busybox', content: parts.busybox, mode: 0o755 },
    { type: 'symlink', path: 'bin/sh', target: 'busybox' },
    ...Object.entries(parts.texts).map(
      ([path, content]): CpioEntry => ({ type: 'file', path, content, mode: isExecutable(path) ? 0o755 : 0o644 }),
    ),
    ...(parts.extra ?? []),
    ...moduleEntries(parts.version, parts.modules),
  ];
  return [
    ...directories.map((path): CpioEntry => ({ type: 'directory', path })),
    ...withDirectories(files, directories),
  ];
}
