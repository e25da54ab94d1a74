/** The PC's interrupt controllers: two cascaded 8259A and their edge/level control registers. */
import { byteRegion } from '../byte-region.ts';
import { allAtMost, checkState } from '../check-state.ts';
import type { Device, GuestLog, Line, Place } from '../device.ts';
import {
  acceptLevel,
  CASCADE,
  EDGE_ONLY,
  MASTER,
  type PicState,
  pendingLevel,
  picSchema,
  SLAVE,
  setLevelTriggered,
  setPin,
  startInitialisation,
  writeOcw2,
  writeOcw3,
} from './chip.ts';

/** A request that vanished before it was acknowledged is answered with level 7 and nothing in service. */
const SPURIOUS = 7;

export interface PicOptions {
  readonly place: Place;
  /** To the processor's INTR pin, or to LINT0 and the I/O APIC's pin 0. */
  readonly intr: Line;
  readonly log: GuestLog;
}

export interface Pic extends Device<(typeof picSchema)['fields']> {
  /** Interrupt requests 0 to 15. Input 2 is the cascade: setting it has no effect. */
  readonly inputs: readonly Line[];
  /** The interrupt-acknowledge cycle: the vector, 0 to 255. */
  acknowledge(): number;
}

/** Regions `master` and `slave`, 2 ports each (0x20, 0xa0), and `elcr`, 2 ports (0x4d0). */
export function createPic({ place, intr, log }: PicOptions): Pic {
  const state: PicState = place(picSchema);

  function update(): void {
    setPin(state, MASTER, CASCADE, pendingLevel(state, SLAVE) >= 0);
    intr.set(pendingLevel(state, MASTER) >= 0);
  }

  function acknowledgeChip(chip: number): number {
    const level = pendingLevel(state, chip);
    if (level >= 0) acceptLevel(state, chip, level);
    // The slave's output falls during its acknowledge, so that its next request is an edge to the master.
    if (chip === SLAVE) setPin(state, MASTER, CASCADE, false);
    return level;
  }

  function acknowledge(): number {
    const level = acknowledgeChip(MASTER);
    let vector = state.vectorBase[MASTER] | (level < 0 ? SPURIOUS : level);
    if (level === CASCADE) {
      const slaveLevel = acknowledgeChip(SLAVE);
      vector = state.vectorBase[SLAVE] | (slaveLevel < 0 ? SPURIOUS : slaveLevel);
    }
    update();
    return vector;
  }

  /** A read after a poll command is an acknowledge cycle of that chip alone. */
  function pollChip(chip: number): number {
    state.poll[chip] = 0;
    const level = acknowledgeChip(chip);
    update();
    return level < 0 ? 0 : 0x80 | level;
  }

  function read(chip: number, port: number): number {
    if (state.poll[chip] !== 0) return pollChip(chip);
    if (port === 1) return state.mask[chip];
    return state.readInService[chip] !== 0 ? state.inService[chip] : state.requests[chip];
  }

  function writeEven(chip: number, value: number): void {
    if ((value & 0x10) !== 0) {
      // Level-triggering of a whole chip (LTIM) gave way to the edge/level control register.
      if ((value & 0x08) !== 0) log('pic: ICW1 asks for level-triggered mode, which the ELCR decides');
      startInitialisation(state, chip, value);
    } else if ((value & 0x08) !== 0) {
      writeOcw3(state, chip, value);
    } else {
      writeOcw2(state, chip, value);
    }
  }

  function writeOdd(chip: number, value: number): void {
    const [withIcw4, single] = [(state.icw1[chip] & 1) !== 0, (state.icw1[chip] & 2) !== 0];
    switch (state.nextIcw[chip]) {
      case 2:
        state.vectorBase[chip] = value & 0xf8;
        state.nextIcw[chip] = single ? (withIcw4 ? 4 : 0) : 3;
        break;
      case 3:
        // The board's wiring is fixed: the slave on pin 2, whatever ICW3 says.
        state.nextIcw[chip] = withIcw4 ? 4 : 0;
        break;
      case 4:
        if ((value & 1) === 0) log('pic: ICW4 asks for MCS-80 mode, which a PC cannot use');
        state.autoEoi[chip] = (value >> 1) & 1;
        state.specialFullyNested[chip] = (value >> 4) & 1;
        state.nextIcw[chip] = 0;
        break;
      default:
        state.mask[chip] = value;
    }
  }

  function write(chip: number, port: number, value: number): void {
    if (port === 0) writeEven(chip, value);
    else writeOdd(chip, value);
    update();
  }

  const chipRegion = (chip: number) =>
    byteRegion(
      2,
      (port) => read(chip, port),
      (port, value) => write(chip, port, value),
    );

  const inputs = Array.from({ length: 16 }, (_, irq): Line => {
    if (irq === CASCADE) return { set() {} };
    const [chip, pin] = [irq >> 3, irq & 7];
    return {
      set(level) {
        setPin(state, chip, pin, level);
        update();
      },
    };
  });

  return {
    name: 'pic',
    schema: picSchema,
    state,
    regions: {
      master: chipRegion(MASTER),
      slave: chipRegion(SLAVE),
      elcr: byteRegion(
        2,
        (chip) => state.levelTriggered[chip],
        (chip, value) => {
          setLevelTriggered(state, chip, value);
          update();
        },
      ),
    },
    inputs,
    acknowledge,
    reset() {
      for (const chip of [MASTER, SLAVE]) {
        state.pins[chip] = 0;
        state.levelTriggered[chip] = 0;
        startInitialisation(state, chip, 0);
        state.vectorBase[chip] = 0;
        state.nextIcw[chip] = 0;
      }
      update();
    },
    restored() {
      const edgeOnly = [MASTER, SLAVE].every((chip) => (state.levelTriggered[chip] & EDGE_ONLY[chip]) === 0);
      checkState('pic', {
        levelTriggered: edgeOnly,
        vectorBase: state.vectorBase.every((base) => (base & 7) === 0),
        highest: allAtMost(state.highest, 7),
        nextIcw: state.nextIcw.every((icw) => icw === 0 || (icw >= 2 && icw <= 4)),
        icw1: allAtMost(state.icw1, 3),
      });
      intr.set(pendingLevel(state, MASTER) >= 0);
    },
  };
}
