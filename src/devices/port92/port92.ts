/** System control port A (port 0x92): fast A20 gate and fast reset (PIIX4 datasheet, "Port 92 register"). */
import { struct } from '../../base/struct.ts';
import { byteRegion } from '../byte-region.ts';
import { checkState } from '../check-state.ts';
import type { Device, Line, Place } from '../device.ts';

const schema = struct('port92', 1, { value: 'u8' });

const FAST_RESET = 1;
const A20 = 2;

export interface Port92Options {
  readonly place: Place;
  /** High while this port lets A20 through. The board joins it by OR with the keyboard controller's gate. */
  readonly a20: Line;
  /** Resets the processor; called when bit 0 goes from 0 to 1. */
  reset(): void;
}

/** Region `port`: 1 byte. */
export function createPort92({ place, a20, reset }: Port92Options): Device<(typeof schema)['fields']> {
  const state = place(schema);
  const drive = () => a20.set((state.value & A20) !== 0);

  function write(value: number): void {
    const resets = (value & ~state.value & FAST_RESET) !== 0;
    state.value = value & (A20 | FAST_RESET);
    drive();
    if (resets) reset();
  }

  return {
    name: 'port92',
    schema,
    state,
    regions: {
      port: byteRegion(
        1,
        () => state.value,
        (_offset, value) => write(value),
      ),
    },
    reset() {
      state.value = 0;
      drive();
    },
    restored() {
      checkState('port92', { value: state.value <= (A20 | FAST_RESET) });
      drive();
    },
  };
}
