/** Loaded before an example: what it imports as `virts` is this source. */
import { registerHooks } from 'node:module';

const SOURCE = new URL('../../src/sdk/node/index.ts', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'virts' ? { url: SOURCE, shortCircuit: true } : next(specifier, context),
});
