/** Shared folders as people write them: `HOSTDIR:/path[:ro]`. */
import { VirtsError } from '../base/errors.ts';

/** A directory of the host that the guest may use. */
export interface VolumeConfiguration {
  /** On the host. */
  readonly path: string;
  /** In the guest: absolute, without `.`, `..` and colons. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** @throws VirtsError `usage`. */
export function parseVolume(text: string): VolumeConfiguration {
  const match = /^(.+):(\/[^:]*)$/s.exec(text.replace(/:r[ow]$/, ''));
  if (match === null) throw new VirtsError('usage', 'It takes HOSTDIR:/path[:ro], such as .:/src.');
  const parts = match[2]!.split('/').filter((part) => part !== '');
  if (parts.length === 0 || parts.some((part) => part === '.' || part === '..') || match[2]!.includes('\0')) {
    throw new VirtsError('usage', `${match[2]} is no place in the guest for a folder, such as /src.`);
  }
  return { path: match[1]!, target: `/${parts.join('/')}`, readOnly: text.endsWith(':ro') };
}

export function formatVolume({ path, target, readOnly }: VolumeConfiguration): string {
  return `${path}:${target}${readOnly ? ':ro' : ''}`;
}
