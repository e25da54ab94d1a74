/** The places of a copy, and Docker's rules for what ends up where. */
import { basename, dirname } from 'node:path';
import { VirtsError } from '../../../base/errors.ts';

/** A place as the command line names it. */
export type Place =
  | { readonly machine: string; readonly path: string }
  | { readonly machine: undefined; readonly path: string };

/** `MACHINE:PATH`; a path of this host that has a colon is told by a slash before it. */
export function parsePlace(word: string): Place {
  const at = word.indexOf(':');
  if (at > 0 && /^[./]/.test(word)) {
    // The socket of a machine, by its path, or a file of this host.
    const [, machine, path] = /^(.*\.sock):(.*)$/s.exec(word) ?? [];
    return machine === undefined ? { machine: undefined, path: word } : { machine, path: path! };
  }
  return at <= 0 ? { machine: undefined, path: word } : { machine: word.slice(0, at), path: word.slice(at + 1) };
}

/** What a path says beside the file that it names: whether that is to be a directory, and whether only what is in it is meant. */
export function formOf(path: string) {
  return { isContents: /(^|\/)\.\/?$/.test(path), asDirectory: /\/\.?\/?$|^\.\.?$/.test(path) || path === '' };
}

/** Where a copy ends up: a directory that is there, and the name in it; `undefined`: what is in the source goes straight into it. */
export interface Target {
  readonly into: string;
  readonly name: string | undefined;
}

/** What is at a place: nothing, a directory or something else. */
export type Kind = 'none' | 'directory' | 'file';

/** Docker's rules for where a copy ends up. `kindOf` tells of places at the target's side. */
export async function targetOf(
  source: { readonly name: string; readonly isDirectory: boolean; readonly isContents: boolean },
  path: string,
  kindOf: (path: string) => Promise<Kind> | Kind,
): Promise<Target> {
  const kind = await kindOf(path);
  const wants = path.replace(/\/+$/, '') || '/';
  if (kind === 'directory') return { into: path, name: source.isContents ? undefined : source.name };
  if (kind === 'file') {
    if (source.isDirectory)
      throw new VirtsError('io', `A directory cannot take the place of the file ${path}.`, { path });
    if (path.endsWith('/')) throw new VirtsError('io', `${path} is no directory.`, { path });
    return { into: dirname(wants), name: basename(wants) };
  }
  if (!source.isDirectory && path.endsWith('/'))
    throw new VirtsError('not-found', `There is no directory ${path}.`, { path });
  if ((await kindOf(dirname(wants))) !== 'directory') {
    throw new VirtsError('not-found', `There is no directory ${dirname(wants)}.`, { path });
  }
  return { into: dirname(wants), name: basename(wants) };
}
