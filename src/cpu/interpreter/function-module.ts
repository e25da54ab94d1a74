/** Modules of functions of the signature of handlers, which put themselves into the shared function table. */
import type { Builder } from '../../ir/builder.ts';
import type { Signature } from '../../ir/node.ts';
import { ModuleBuilder, type Slot } from '../../ir/wasm/module.ts';
import { HANDLER } from './builder.ts';

/** How a function that has a module of its own calls itself. */
export const SELF = 'self';

/** Names of the numbers that a module is told when it is linked, for what is to be the same bytes wherever it is put. */
const LINKED_NAMES = ['place', 'cell'] as const;
type LinkedName = (typeof LINKED_NAMES)[number];
/** Their indices as imported numbers: the function's place in the function table, and the address of its cells. */
export const LINKED = Object.fromEntries(LINKED_NAMES.map((name, i) => [name, i])) as Record<LinkedName, number>;
export type LinkedNumbers = Readonly<Record<LinkedName, number>>;

export interface TableFunction {
  /** Its place in the function table; absent: `LINKED.place`, and it is the only one. */
  readonly index: number | undefined;
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
  const [first] = functions;
  const nameOf = (index: number | undefined) => (functions.length === 1 ? SELF : `h${index}`);
  if (functions.length === 1 && first.index === undefined) for (const name of LINKED_NAMES) module.importNumber(name);
  const slotOf = (index: number | undefined): Slot => index ?? { imported: LINKED.place };
  for (const name of imports) module.import(name, signatureOf(name));
  for (const { index, builder } of functions) module.define(nameOf(index), HANDLER, builder, { table: slotOf(index) });
  const bytes = module.encode();
  const frameBytes = Math.max(...functions.map(({ index }) => module.frameBytes(nameOf(index))));
  return { bytes, imports: [...imports], frameBytes };
}
