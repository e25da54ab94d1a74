/** One 8259A of the pair (Intel 8259A datasheet, order 231468): requests, priorities and in-service levels. */
import type { StructView } from '../../base/struct.ts';
import { struct } from '../../base/struct.ts';

/** Each field holds the master's value at 0 and the slave's at 1. */
export const picSchema = struct('pic', 1, {
  /** Levels of the input pins. The slave's output is the master's pin 2. */
  pins: ['u8', 2],
  /** Requests not yet acknowledged (IRR). */
  requests: ['u8', 2],
  mask: ['u8', 2],
  /** Levels in service (ISR). */
  inService: ['u8', 2],
  /** Pins that are level-triggered: the edge/level control register. */
  levelTriggered: ['u8', 2],
  vectorBase: ['u8', 2],
  /** The level of highest priority, 0 to 7; the others follow in circular order. */
  highest: ['u8', 2],
  /** The initialisation word expected next at the odd port: 2, 3, 4, or 0 in operation. */
  nextIcw: ['u8', 2],
  /** What ICW1 said: bit 0 ICW4 follows, bit 1 there is no other chip. */
  icw1: ['u8', 2],
  readInService: ['u8', 2],
  poll: ['u8', 2],
  specialMask: ['u8', 2],
  autoEoi: ['u8', 2],
  rotateOnAutoEoi: ['u8', 2],
  specialFullyNested: ['u8', 2],
});

export type PicState = StructView<(typeof picSchema)['fields']>;

export const MASTER = 0;
export const SLAVE = 1;
/** The master's pin that the slave's output drives. */
export const CASCADE = 2;

/** Which of the pins have no level-triggered mode: timer, keyboard, cascade; RTC, coprocessor (PIIX4, "ELCR"). */
export const EDGE_ONLY = [0x07, 0x21] as const;

/** The level of highest priority in `levels`, or -1. */
function first(highest: number, levels: number): number {
  for (let i = 0; i < 8; i++) {
    const level = (highest + i) & 7;
    if ((levels & (1 << level)) !== 0) return level;
  }
  return -1;
}

/** How far a level is from the highest priority, 0 to 7; 8 for no level. */
function rank(highest: number, level: number): number {
  return level < 0 ? 8 : (level - highest) & 7;
}

/** The level that the chip would deliver now, or -1. */
export function pendingLevel(s: PicState, chip: number): number {
  const highest = s.highest[chip];
  const level = first(highest, s.requests[chip] & ~s.mask[chip]);
  let blocking = s.inService[chip];
  if (s.specialMask[chip] !== 0) blocking &= ~s.mask[chip];
  // The special fully nested mode lets a better request of a slave through while another of that slave is in service.
  if (s.specialFullyNested[chip] !== 0 && chip === MASTER) blocking &= ~(1 << CASCADE);
  return rank(highest, level) < rank(highest, first(highest, blocking)) ? level : -1;
}

/** The interrupt-acknowledge cycle for `level`: request to in-service, or at once to its end with automatic EOI. */
export function acceptLevel(s: PicState, chip: number, level: number): void {
  const bit = 1 << level;
  if ((s.levelTriggered[chip] & bit) === 0) s.requests[chip] &= ~bit;
  if (s.autoEoi[chip] === 0) s.inService[chip] |= bit;
  else if (s.rotateOnAutoEoi[chip] !== 0) s.highest[chip] = (level + 1) & 7;
}

/**
 * Sets an input pin. A request is latched by a rising edge, or follows the pin where it is level-triggered. In both
 * modes it is lost if the pin falls before the acknowledge (datasheet, "Edge and level triggered modes").
 */
export function setPin(s: PicState, chip: number, pin: number, high: boolean): void {
  const bit = 1 << pin;
  const rises = high && (s.pins[chip] & bit) === 0;
  if (high) s.pins[chip] |= bit;
  else s.pins[chip] &= ~bit;
  if (rises) s.requests[chip] |= bit;
  if (!high) s.requests[chip] &= ~bit;
}

/** Changes which pins are level-triggered; those requests follow their pins from now on. */
export function setLevelTriggered(s: PicState, chip: number, pins: number): void {
  const levels = pins & ~EDGE_ONLY[chip];
  s.levelTriggered[chip] = levels;
  s.requests[chip] = (s.requests[chip] & ~levels) | (s.pins[chip] & levels);
}

/** ICW1: starts the initialisation sequence. An edge-triggered pin that is high now must fall before it requests. */
export function startInitialisation(s: PicState, chip: number, icw1: number): void {
  s.requests[chip] = s.pins[chip] & s.levelTriggered[chip];
  s.mask[chip] = 0;
  s.inService[chip] = 0;
  s.highest[chip] = 0;
  s.readInService[chip] = 0;
  s.poll[chip] = 0;
  s.specialMask[chip] = 0;
  s.autoEoi[chip] = 0;
  s.rotateOnAutoEoi[chip] = 0;
  s.specialFullyNested[chip] = 0;
  s.icw1[chip] = icw1 & 3;
  s.nextIcw[chip] = 2;
}

/** OCW2: end of interrupt and rotation. Bits 7-5 are R, SL, EOI; bits 2-0 a level. */
export function writeOcw2(s: PicState, chip: number, value: number): void {
  const rotate = (value & 0x80) !== 0;
  const specific = (value & 0x40) !== 0;
  const endOfInterrupt = (value & 0x20) !== 0;
  if (!specific && !endOfInterrupt) {
    s.rotateOnAutoEoi[chip] = rotate ? 1 : 0;
    return;
  }
  let level = value & 7;
  if (!specific) {
    // In special mask mode a masked level is not ended by a non-specific EOI.
    const candidates = s.inService[chip] & (s.specialMask[chip] !== 0 ? ~s.mask[chip] : 0xff);
    level = first(s.highest[chip], candidates);
    if (level < 0) return;
  }
  if (endOfInterrupt) s.inService[chip] &= ~(1 << level);
  if (rotate) s.highest[chip] = (level + 1) & 7;
}

/** OCW3: special mask mode, poll command, and which register the even port reads. */
export function writeOcw3(s: PicState, chip: number, value: number): void {
  if ((value & 0x40) !== 0) s.specialMask[chip] = (value >> 5) & 1;
  if ((value & 0x04) !== 0) s.poll[chip] = 1;
  if ((value & 0x02) !== 0) s.readInService[chip] = value & 1;
}
