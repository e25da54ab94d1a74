/** Runs IR routines for tests: a module with nothing else in it. */
import { ModuleBuilder } from '../../ir/wasm/module.ts';
import type { Helper } from '../helpers.ts';
import { VCPU, type VcpuState } from '../state.ts';

export type Routine = (cpu: number, ...args: (number | bigint)[]) => number | bigint;

export interface Rig {
  /** The state block that routines are to be given. */
  readonly cpu: number;
  readonly state: VcpuState;
  routine(name: string): Routine;
}

/** `provided` implements those helpers that have no body. */
export function createRig(helpers: readonly Helper[], provided: Readonly<Record<string, unknown>> = {}): Rig {
  const module = new ModuleBuilder();
  for (const { name, signature, body } of helpers) if (body === undefined) module.import(name, signature);
  for (const { name, signature, body } of helpers) {
    if (body === undefined) continue;
    module.define(name, signature, (b) => body(b, ...signature.params.map((_, i) => b.param(i))), { exported: true });
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), {
    env: { memory, table, ...provided },
  });
  const cpu = 1024;
  return {
    cpu,
    state: VCPU.view(memory.buffer, cpu),
    routine: (name) => instance.exports[name] as Routine,
  };
}
