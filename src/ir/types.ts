/** Value types of the IR: those of WebAssembly. */
export type Type = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
