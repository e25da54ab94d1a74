/**
 * Globals beyond ECMAScript that every host of the portable floors has, Node and browsers alike. `tsconfig.core.json`
 * gives those floors these and no others.
 */
declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(encoding?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean });
  decode(bytes?: ArrayBufferView | ArrayBuffer): string;
}
