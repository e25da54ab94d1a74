/** Reads and writes of a vCPU's state block in IR code. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/node.ts';
import { VCPU, type VcpuField } from './state.ts';

type Scalar = 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'f64';

const SIZE: Record<Scalar, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, f64: 8 };
const LOAD: Record<Scalar, string> = {
  u8: 'i32.load8_u',
  u16: 'i32.load16_u',
  u32: 'i32.load',
  i32: 'i32.load',
  u64: 'i64.load',
  f64: 'f64.load',
};
const STORE: Record<Scalar, string> = {
  u8: 'i32.store8',
  u16: 'i32.store16',
  u32: 'i32.store',
  i32: 'i32.store',
  u64: 'i64.store',
  f64: 'f64.store',
};

/** Type and byte offset of a field, or of element `index` of an array field. */
export function fieldAt(name: VcpuField, index: number): [Scalar, number] {
  const type = VCPU.fields[name];
  const scalar: Scalar = typeof type === 'string' ? type : type[0];
  return [scalar, VCPU.offsets[name] + index * SIZE[scalar]];
}

/** A scalar field, or element `index` of an array: u64 as i64, all other integers as i32, zero-extended. */
export function readField(b: Builder, cpu: Value, name: VcpuField, index = 0): Value {
  const [type, offset] = fieldAt(name, index);
  return b.loadHost(LOAD[type], cpu, offset);
}

export function writeField(b: Builder, cpu: Value, name: VcpuField, value: Value, index = 0): void {
  const [type, offset] = fieldAt(name, index);
  b.storeHost(STORE[type], cpu, value, offset);
}
