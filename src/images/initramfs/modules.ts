/** Linux kernel modules: what a module needs and which devices it serves, as `depmod` would find out. */
import { VirtsError } from '../../base/errors.ts';

export interface ModuleInfo {
  /** With underscores, as the kernel says it. */
  readonly name: string;
  /** Names of the modules it needs. */
  readonly depends: readonly string[];
  /** Patterns of the `modalias` strings it serves. */
  readonly aliases: readonly string[];
}

/** A module's name from its file name: the kernel writes `_` where files may have `-`. */
export function moduleName(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.ko$/, '').replaceAll('-', '_');
}

function u(view: DataView, at: number, size: 2 | 4 | 8): number {
  if (size === 2) return view.getUint16(at, true);
  return size === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

/** The bytes of one section of a little-endian ELF file (System V ABI, chapter 4). Throws RangeError on a short file. */
function elfSection(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x7f454c46 || bytes[5] !== 1) return undefined;
  const wide = bytes[4] === 2;
  const table = u(view, wide ? 0x28 : 0x20, wide ? 8 : 4);
  const entrySize = u(view, wide ? 0x3a : 0x2e, 2);
  const count = u(view, wide ? 0x3c : 0x30, 2);
  const namesIndex = u(view, wide ? 0x3e : 0x32, 2);
  const section = (index: number): Uint8Array => {
    const at = table + index * entrySize;
    const offset = u(view, at + (wide ? 0x18 : 0x10), wide ? 8 : 4);
    return bytes.subarray(offset, offset + u(view, at + (wide ? 0x20 : 0x14), wide ? 8 : 4));
  };
  const names = section(namesIndex);
  for (let index = 0; index < count; index++) {
    const start = u(view, table + index * entrySize, 4);
    const found = Buffer.from(names.subarray(start, names.indexOf(0, start))).toString('latin1');
    if (found === name) return section(index);
  }
  return undefined;
}

/** Reads a module's `.modinfo`. @throws VirtsError `bad-input` if the file is no module. */
export function readModule(path: string, bytes: Uint8Array): ModuleInfo {
  let info: Uint8Array | undefined;
  try {
    info = elfSection(bytes, '.modinfo');
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  if (info === undefined) throw new VirtsError('bad-input', `${path} is not a kernel module.`, { path });
  const lines = Buffer.from(info).toString('latin1').split('\0');
  const values = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  return {
    name: moduleName(path),
    depends: values('depends')
      .flatMap((list) => list.split(','))
      .filter((entry) => entry !== '')
      .map(moduleName),
    aliases: values('alias'),
  };
}

export interface ModuleSet {
  /** By path below `/lib/modules/<version>`, sorted. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What `modules.dep` and `modules.alias` have to say. */
  readonly dep: string;
  readonly alias: string;
  /** Names of modules that some of them need and that are not among those available. */
  readonly missing: readonly string[];
}

/**
 * Picks modules and everything they need.
 * @param available all modules by path below `/lib/modules/<version>`.
 * @param wanted names; one that the kernel does not have (because it is built in) is passed over.
 */
export function selectModules(available: ReadonlyMap<string, Uint8Array>, wanted: readonly string[]): ModuleSet {
  const paths = new Map([...available.keys()].map((path) => [moduleName(path), path]));
  const infos = new Map<string, ModuleInfo>();
  const visit = (name: string): void => {
    const path = paths.get(name);
    if (path === undefined || infos.has(name)) return;
    const info = readModule(path, available.get(path)!);
    infos.set(name, info);
    info.depends.forEach(visit);
  };
  wanted.map(moduleName).forEach(visit);
  /** Everything a module needs, nearest first, each once: the last is to be loaded first. */
  const needs = (name: string, seen = new Set<string>()): Set<string> => {
    for (const need of infos.get(name)?.depends ?? []) {
      if (!infos.has(need)) continue;
      seen.delete(need);
      seen.add(need);
      needs(need, seen);
    }
    return seen;
  };
  const sorted = [...infos.values()].toSorted((a, b) => (paths.get(a.name)! < paths.get(b.name)! ? -1 : 1));
  return {
    files: new Map(sorted.map(({ name }) => [paths.get(name)!, available.get(paths.get(name)!)!])),
    dep: sorted
      .map(({ name }) => `${[`${paths.get(name)}:`, ...[...needs(name)].map((need) => paths.get(need))].join(' ')}\n`)
      .join(''),
    missing: [...new Set(sorted.flatMap(({ depends }) => depends.filter((need) => !infos.has(need))))],
    alias: sorted.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}\n`)).join(''),
  };
}
