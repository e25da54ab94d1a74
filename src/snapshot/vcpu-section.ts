/** A vCPU's state block as a snapshot section: its bytes, without what belongs to the engine that runs it. */
import { VirtsError } from '../base/errors.ts';
import { ENGINE_FIELDS, VCPU, type VcpuField, type VcpuState } from '../isa/state.ts';

export const VCPU_SECTION = { name: 'vcpu', version: VCPU.version } as const;

const ENGINE: ReadonlySet<VcpuField> = new Set(ENGINE_FIELDS);

/** Fields that are saved, in the schema's order. */
export const SAVED_FIELDS = (Object.keys(VCPU.fields) as VcpuField[]).filter((name) => !ENGINE.has(name));

/** Saves to a struct of its own, engine fields zero. */
export function saveVcpu(state: VcpuState): Uint8Array {
  const bytes = new Uint8Array(VCPU.size);
  copyFields(state, VCPU.view(bytes.buffer, 0));
  return bytes;
}

/** @throws VirtsError `bad-input` where the section is not of a vCPU's size. */
export function restoreVcpu(state: VcpuState, bytes: Uint8Array): void {
  if (bytes.length !== VCPU.size) throw new VirtsError('bad-input', 'The vCPU in this snapshot is of another layout.');
  // A copy of its own: the bytes may lie anywhere in a larger buffer.
  copyFields(VCPU.view(new Uint8Array(bytes).buffer, 0), state);
}

function copyFields(from: VcpuState, to: VcpuState): void {
  const source = from as unknown as Record<string, unknown>;
  const target = to as unknown as Record<string, unknown>;
  for (const name of SAVED_FIELDS) {
    const value = source[name];
    if (typeof VCPU.fields[name] === 'string') target[name] = value;
    else (target[name] as Uint8Array).set(value as Uint8Array);
  }
}
