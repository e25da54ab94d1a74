/** The debug-exit port: a write of V ends the run with status (V << 1) | 1, as test kernels expect. */
import { struct } from '../../base/struct.ts';
import type { Device, Place } from '../device.ts';

const schema = struct('debug-exit', 1, {});

export interface DebugExitOptions {
  readonly place: Place;
  /** Called with (V << 1) | 1 as an unsigned 32-bit number, so never 0. It must not throw. */
  exit(status: number): void;
}

/** Region `port`: 4 bytes, usually at 0xf4; a write of 1, 2 or 4 bytes at its first byte exits. Reads give 0. */
export function createDebugExit({ place, exit }: DebugExitOptions): Device<(typeof schema)['fields']> {
  return {
    name: 'debug-exit',
    schema,
    state: place(schema),
    regions: {
      port: {
        size: 4,
        read: () => 0,
        write(offset, _size, value) {
          if (offset === 0) exit(((value << 1) | 1) >>> 0);
        },
      },
    },
    reset() {},
    restored() {},
  };
}
