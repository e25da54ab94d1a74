/** Bundles pages and all that they load, in memory. */
import { build } from 'vite';

/** Files of a bundle, by path without a leading slash. */
export type Bundle = ReadonlyMap<string, Uint8Array | string>;

/** @param root the directory that the HTML files `pages` are in; addresses are relative to it. */
export async function bundlePages(root: string, pages: readonly string[]): Promise<Bundle> {
  const built = await build({
    root,
    configFile: false,
    logLevel: 'error',
    base: './',
    worker: { format: 'es' },
    build: { target: 'es2024', write: false, modulePreload: false, rolldownOptions: { input: [...pages] } },
  });
  if (!('output' in built)) throw new TypeError('the bundler made more than one bundle');
  return new Map(
    built.output.map((file) => [
      file.fileName,
      file.type === 'chunk' ? file.code : (file.source as string | Uint8Array),
    ]),
  );
}
