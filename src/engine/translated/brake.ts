/** Stops interpreted code behind the instruction that runs: the record that comes next is an exit meanwhile. */
import { RECORD, RECORD_SIZE } from '../../cpu/interpreter/record.ts';

export interface Brake {
  /** Makes an exit of what follows a record; nothing while one is set. */
  set(record: number): void;
  release(): void;
}

/** `leave`: the handler of exits. */
export function createBrake(data: DataView, leave: number): Brake {
  let brake: { readonly at: number; readonly handler: number } | undefined;
  return {
    set(record) {
      if (brake !== undefined) return;
      const at = record + RECORD_SIZE + RECORD.handler;
      brake = { at, handler: data.getUint16(at, true) };
      data.setUint16(at, leave, true);
    },
    release() {
      if (brake === undefined) return;
      // A block that went meanwhile has other handlers in its records, which stay.
      if (data.getUint16(brake.at, true) === leave) data.setUint16(brake.at, brake.handler, true);
      brake = undefined;
    },
  };
}
