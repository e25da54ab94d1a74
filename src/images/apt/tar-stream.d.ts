/** The part of tar-stream that is used here; the package brings no types. */
declare module 'tar-stream' {
  import type { Readable, Writable } from 'node:stream';

  interface Header {
    readonly linkname?: string | null;
    readonly name: string;
    readonly type: string;
    readonly size?: number;
    readonly mode?: number;
  }
  interface Entry extends Readable, AsyncIterable<Uint8Array> {
    readonly header: Header;
  }
  export function extract(): Writable & AsyncIterable<Entry>;
  interface Pack extends Readable {
    entry(
      header: { name: string; type?: string; mode?: number; linkname?: string; mtime?: Date },
      content?: string | Uint8Array,
    ): unknown;
    finalize(): void;
  }
  export function pack(): Pack;
}
