/** Builds a WebAssembly module from IR functions (core specification 5.5). */
import { SHARES_MEMORY } from '../../base/shared-memory.ts';
import { Builder } from '../builder.ts';
import type { Signature } from '../node.ts';
import type { Type } from '../types.ts';
import { ByteWriter } from './bytes.ts';
import { type BranchHint, encodeFunction, type FunctionContext, TYPE_CODES } from './function.ts';

/** Namespace of every import. */
export const IMPORTS = 'env';

const FUNCREF = 0x70;

/** Flags of a memory that has a maximum (threads proposal, "Memory Types"). */
const MEMORY_LIMITS = { plain: 0x01, shared: 0x03 } as const;

function sameSignature(a: Signature, b: Signature): boolean {
  return a.result === b.result && a.params.length === b.params.length && a.params.every((t, i) => t === b.params[i]);
}

function writeTypes(out: ByteWriter, types: readonly Type[]): void {
  out.u32(types.length);
  for (const type of types) out.byte(TYPE_CODES[type]);
}

/** A slot of `env.table`: a number, or an imported one, by its index. */
export type Slot = number | { readonly imported: number };

/** Most numbers that a module imports: their indices are one byte. */
const MOST_NUMBERS = 128;

/** A module that shares `env.memory` and `env.table` and calls imported functions by name. */
export class ModuleBuilder {
  readonly #types: Signature[] = [];
  readonly #imports: { name: string; type: number }[] = [];
  readonly #numbers: string[] = [];
  readonly #functions: {
    name: string;
    type: number;
    body: () => Builder;
    table: Slot | undefined;
    exported: boolean;
  }[] = [];
  readonly #signatures = new Map<string, Signature>();
  readonly #indices = new Map<string, number>();
  readonly #frameBytes = new Map<string, number>();

  #typeIndex(signature: Signature): number {
    const known = this.#types.findIndex((type) => type === signature || sameSignature(type, signature));
    return known >= 0 ? known : this.#types.push(signature) - 1;
  }

  /** Declares a function that the host provides as `env.name`. */
  import(name: string, signature: Signature): void {
    this.#signatures.set(name, signature);
    this.#imports.push({ name, type: this.#typeIndex(signature) });
  }

  /** Declares a number (i32) that the host provides as `env.name` when it links the module; returns its index. */
  importNumber(name: string): number {
    if (this.#numbers.length === MOST_NUMBERS) throw new RangeError('a module imports too many numbers');
    return this.#numbers.push(name) - 1;
  }

  /**
   * Declares a function of this module: a finished body, or a function that builds it when the module is encoded, so
   * that functions may call each other in any order. `table` is the slot of `env.table` that gets it.
   */
  define(
    name: string,
    signature: Signature,
    fill: Builder | ((builder: Builder) => void),
    options: { readonly table?: Slot; readonly exported?: boolean } = {},
  ): void {
    if (this.#signatures.has(name)) throw new TypeError(`function ${name} is defined twice`);
    this.#signatures.set(name, signature);
    const body = () => {
      if (typeof fill !== 'function') return fill;
      const builder = new Builder(signature.params, signature.result, this.signatureOf);
      fill(builder);
      return builder;
    };
    const type = this.#typeIndex(signature);
    this.#functions.push({ name, type, body, table: options.table, exported: options.exported ?? false });
  }

  /** The signature of a declared function. */
  readonly signatureOf = (name: string): Signature => {
    const signature = this.#signatures.get(name);
    if (signature === undefined) throw new TypeError(`no function is called ${name}`);
    return signature;
  };

  encode(): Uint8Array<ArrayBuffer> {
    for (const { name } of this.#imports) this.#indices.set(name, this.#indices.size);
    for (const { name } of this.#functions) this.#indices.set(name, this.#indices.size);
    const context: FunctionContext = {
      functionIndex: (name) => {
        const index = this.#indices.get(name);
        if (index === undefined) throw new TypeError(`no function is called ${name}`);
        return index;
      },
      typeIndex: (signature) => this.#typeIndex(signature),
    };
    const bodies = new ByteWriter(4096);
    const hints: (readonly BranchHint[])[] = [];
    for (const f of this.#functions) {
      const encoded = encodeFunction(bodies, f.body(), context);
      this.#frameBytes.set(f.name, encoded.frameBytes);
      hints.push(encoded.hints);
    }
    const out = new ByteWriter(bodies.length + 1024);
    out.bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, fill: (s: ByteWriter) => void) => {
      const s = new ByteWriter();
      fill(s);
      out.byte(id);
      out.u32(s.length);
      out.bytes(s.done());
    };
    section(1, (s) => {
      s.u32(this.#types.length);
      for (const { params, result } of this.#types) {
        s.byte(0x60);
        writeTypes(s, params);
        writeTypes(s, result === undefined ? [] : [result]);
      }
    });
    section(2, (s) => this.#importSection(s));
    section(3, (s) => {
      s.u32(this.#functions.length);
      for (const f of this.#functions) s.u32(f.type);
    });
    section(7, (s) => this.#exportSection(s));
    section(9, (s) => this.#elementSection(s));
    section(0, (s) => this.#hintSection(s, hints));
    const count = new ByteWriter(8);
    count.u32(this.#functions.length);
    out.byte(10);
    out.u32(count.length + bodies.length);
    out.bytes(count.done());
    out.bytes(bodies.done());
    return out.done().slice();
  }

  /**
   * Bytes of stack that the parameters and locals of a function take in unoptimised code, return address and the like not
   * counted. Known once the module is encoded.
   */
  frameBytes(name: string): number {
    const bytes = this.#frameBytes.get(name);
    if (bytes === undefined) throw new TypeError(`no function called ${name} is encoded`);
    return bytes;
  }

  #importSection(s: ByteWriter): void {
    s.u32(this.#imports.length + this.#numbers.length + 2);
    s.name(IMPORTS);
    s.name('memory');
    s.bytes([0x02, SHARES_MEMORY ? MEMORY_LIMITS.shared : MEMORY_LIMITS.plain]);
    s.u32(1);
    s.u32(65536);
    s.name(IMPORTS);
    s.name('table');
    s.bytes([0x01, FUNCREF, 0x00]);
    s.u32(1);
    for (const name of this.#numbers) {
      s.name(IMPORTS);
      s.name(name);
      s.bytes([0x03, TYPE_CODES.i32, 0x00]);
    }
    for (const { name, type } of this.#imports) {
      s.name(IMPORTS);
      s.name(name);
      s.byte(0x00);
      s.u32(type);
    }
  }

  /** Branch hints, a custom section before the code (Branch Hinting proposal, "metadata.code.branch_hint"). */
  #hintSection(s: ByteWriter, hints: readonly (readonly BranchHint[])[]): void {
    s.name('metadata.code.branch_hint');
    s.u32(hints.filter((list) => list.length > 0).length);
    hints.forEach((list, at) => {
      if (list.length === 0) return;
      s.u32(this.#imports.length + at);
      s.u32(list.length);
      for (const { offset, likely } of list) {
        s.u32(offset);
        s.u32(1);
        s.byte(likely ? 1 : 0);
      }
    });
  }

  #exportSection(s: ByteWriter): void {
    const exported = this.#functions.filter((f) => f.exported);
    s.u32(exported.length);
    for (const { name } of exported) {
      s.name(name);
      s.byte(0x00);
      s.u32(this.#indices.get(name) as number);
    }
  }

  #elementSection(s: ByteWriter): void {
    const placed = this.#functions.filter((f) => f.table !== undefined);
    s.u32(placed.length);
    for (const { name, table } of placed) {
      s.byte(0x00);
      if (typeof table === 'number') {
        s.byte(0x41);
        s.s32(table);
      } else s.bytes([0x23, (table as Exclude<Slot, number>).imported]);
      s.byte(0x0b);
      s.u32(1);
      s.u32(this.#indices.get(name) as number);
    }
  }
}
