/** The part of tar-stream that is used here; the package brings no types. */
declare module 'tar-stream' {
  import type { Readable, Writable } from 'node:stream';

  export interface Header {
    readonly linkname?: string | null;
    readonly name: string;
    readonly type: string;
    readonly size?: number;
    readonly mode?: number;
    readonly uid?: number;
    readonly gid?: number;
    readonly mtime?: Date | null;
  }
  export interface Entry extends Readable, AsyncIterable<Uint8Array> {
    readonly header: Header;
  }
  export function extract(): Writable & AsyncIterable<Entry>;
  interface NewHeader {
    readonly name: string;
    readonly type?: string;
    readonly mode?: number;
    readonly linkname?: string;
    readonly mtime?: Date;
    readonly size?: number;
    readonly uid?: number;
    readonly gid?: number;
  }
  export interface Pack extends Readable, AsyncIterable<Uint8Array> {
    /** With content, or as a stream that takes `size` bytes. */
    entry(header: NewHeader, content?: string | Uint8Array): unknown;
    entry(header: NewHeader, done: (error?: Error | null) => void): Writable;
    finalize(): void;
  }
  export function pack(): Pack;
}
