/** Modules of functions of the signature of handlers, which put themselves into the shared function table. */
import type { Builder } from '../../ir/builder.ts';
import type { Signature } from '../../ir/node.ts';
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import { HANDLER } from './builder.ts';

/** How a function that has a module of its own calls itself. */
export const SELF = 'self';

export interface TableFunction {
  /** Its place in the function table. */
  readonly index: number;
  readonly builder: Builder;
}

export interface EncodedModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions that it imports by name, besides memory and table. */
  readonly imports: readonly string[];
  /** Bytes of host stack that the largest frame takes. */
  readonly frameBytes: number;
}

export function encodeModule(
  functions: readonly TableFunction[],
  signatureOf: (name: string) => Signature,
): EncodedModule {
  const module = new ModuleBuilder();
  const imports = new Set(functions.flatMap(({ builder }) => [...builder.callees]));
  imports.delete(SELF);
  const nameOf = (index: number) => (functions.length === 1 ? SELF : `h${index}`);
  for (const name of imports) module.import(name, signatureOf(name));
  for (const { index, builder } of functions) module.define(nameOf(index), HANDLER, builder, { table: index });
  const bytes = module.encode();
  const frameBytes = Math.max(...functions.map(({ index }) => module.frameBytes(nameOf(index))));
  return { bytes, imports: [...imports], frameBytes };
}
