/** The archive that an image came from, as the image's own APT is told of it. */
import { type AptOptions, proxyFor } from '../apt/config.ts';
import { DEBIAN_KEYRINGS, keysFor } from '../apt/keys.ts';
import type { Source } from '../apt/sources.ts';
import type { ImageFile } from './system-files.ts';

/** A stanza of the guest's debian.sources. */
export interface GuestSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Path of the keyring in the guest. */
  readonly signedBy: string;
  /** The keyring, unless a package brings it. */
  readonly keyring: ImageFile | undefined;
}

export interface SourcesRequest {
  readonly sources: readonly Source[];
  /** The keyring that the user named. */
  readonly keyring: string | undefined;
  readonly aptDirectory: string;
  readonly warn: (message: string) => void;
}

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || /^127\./.test(hostname) || hostname === '[::1]';

/** An address that means the same in the guest, and has no secret in it; `undefined` if there is none. */
function guestUri(uri: string): string | undefined {
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || isLoopback(url)) return undefined;
  url.username = '';
  url.password = '';
  return url.href.replace(/\/+$/, '');
}

const usesDebianKeys = ({ signedBy }: Source): boolean =>
  signedBy === undefined ||
  (signedBy.armored === undefined &&
    signedBy.files.length > 0 &&
    signedBy.files.every((path) => DEBIAN_KEYRINGS.includes(path)));

/** The sources for the guest. One whose address has no meaning there is left out, and a warning tells of it. */
export async function guestSources(request: SourcesRequest): Promise<GuestSource[]> {
  const { sources, keyring, aptDirectory, warn } = request;
  const found = new Map<string, GuestSource>();
  for (const [index, source] of sources.entries()) {
    const uri = guestUri(source.uri);
    if (uri === undefined) {
      warn(
        `The image's APT is not told of ${source.suite}: an archive on this host itself cannot be reached from a machine.`,
      );
      continue;
    }
    const debian = keyring === undefined && usesDebianKeys(source);
    const path = debian ? DEBIAN_KEYRING : `/etc/apt/keyrings/archive-${index}.gpg`;
    const keys = debian ? undefined : Buffer.concat((await keysFor(source, aptDirectory, keyring)).keyrings);
    const place = debian ? uri : `${uri} ${index}`;
    const before = found.get(place);
    found.set(place, {
      uri,
      suites: [...(before?.suites ?? []), source.suite],
      components: ['main'],
      signedBy: path,
      keyring: keys && { path, mode: 0o644, content: keys },
    });
  }
  return [...found.values()];
}

/** The proxy that the guest's APT needs to reach the archive; `undefined` for none that a machine could use. */
export function guestProxy(
  sources: readonly GuestSource[],
  options: AptOptions,
  env: NodeJS.ProcessEnv,
): string | undefined {
  const proxies = sources.map(({ uri }) => proxyFor(new URL(uri), options, env));
  const proxy = proxies.find((address) => address !== undefined);
  const uri = proxy === undefined ? undefined : guestUri(proxy);
  // What comes from a configuration must not end the string that it is put in.
  return uri === undefined || /["\n]/.test(uri) ? undefined : uri;
}
