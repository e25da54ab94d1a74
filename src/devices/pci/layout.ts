/** Builds a function's configuration space: reset values, and which bits a guest may change. */
import { VirtsError } from '../../base/errors.ts';
import type { AccessSize } from '../device.ts';
import { barType, type PciBar } from './bar.ts';
import { COMMAND, CONFIG, CONFIG_SIZE, type InterruptPin, STATUS, writeBytes } from './config-space.ts';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystemDevice?: number;
  /** Set on function 0 of a device that has others. */
  readonly multifunction?: boolean;
}

/** A register: its reset value and its writable and write-1-to-clear bits; all others are read-only. */
export interface PciRegister {
  readonly offset: number;
  readonly size: AccessSize;
  readonly reset: number;
  readonly writable?: number;
  readonly clearable?: number;
}

export interface PciCapability {
  readonly id: number;
  /** What follows the id and next pointer. */
  readonly body: Uint8Array;
  /** Bits of `body` that the guest may change; none if absent. */
  readonly writable?: Uint8Array;
}

export interface ConfigLayout {
  readonly reset: Uint8Array;
  readonly writable: Uint8Array;
  readonly clearable: Uint8Array;
  /** Bits that only the device changes. */
  readonly volatile: Uint8Array;
  /** Offsets of the capabilities, in order. */
  readonly capabilities: readonly number[];
}

export interface LayoutOptions {
  readonly identity: PciIdentity;
  readonly bars?: readonly PciBar[];
  readonly capabilities?: readonly PciCapability[];
  readonly registers?: readonly PciRegister[];
  readonly interrupt?: { readonly pin: InterruptPin };
}

function headerRegisters(options: LayoutOptions): PciRegister[] {
  const { identity, bars = [], capabilities = [], interrupt } = options;
  const decode = bars.reduce((bits, bar) => bits | (bar.kind === 'io' ? COMMAND.io : COMMAND.memory), 0);
  const command =
    decode | COMMAND.busMaster | COMMAND.parityResponse | COMMAND.serr | (interrupt ? COMMAND.intxDisable : 0);
  return [
    { offset: CONFIG.vendor, size: 2, reset: identity.vendor },
    { offset: CONFIG.device, size: 2, reset: identity.device },
    { offset: CONFIG.command, size: 2, reset: 0, writable: command },
    {
      offset: CONFIG.status,
      size: 2,
      reset: capabilities.length > 0 ? STATUS.capabilities : 0,
      clearable: STATUS.errors,
    },
    { offset: CONFIG.revision, size: 4, reset: identity.classCode * 256 + identity.revision },
    { offset: CONFIG.headerType, size: 1, reset: identity.multifunction ? 0x80 : 0 },
    { offset: 0x0c, size: 1, reset: 0, writable: 0xff },
    { offset: CONFIG.subsystemVendor, size: 2, reset: identity.subsystemVendor ?? 0 },
    { offset: CONFIG.subsystemDevice, size: 2, reset: identity.subsystemDevice ?? 0 },
    { offset: CONFIG.interruptLine, size: 1, reset: 0, writable: interrupt ? 0xff : 0 },
    { offset: CONFIG.interruptPin, size: 1, reset: interrupt?.pin ?? 0 },
  ];
}

function barRegisters(bar: PciBar): PciRegister[] {
  const { size } = bar.region;
  const least = bar.kind === 'io' ? 4 : 16;
  if (size < least || size > 2 ** 31 || !Number.isInteger(Math.log2(size)) || bar.index < 0 || bar.index > 5) {
    throw new VirtsError('internal', `BAR ${bar.index} cannot describe ${size} bytes.`);
  }
  const offset = CONFIG.bar0 + 4 * bar.index;
  const low: PciRegister = { offset, size: 4, reset: barType(bar), writable: ~(size - 1) >>> 0 };
  return bar.kind === 'memory64' ? [low, { offset: offset + 4, size: 4, reset: 0, writable: 0xffff_ffff }] : [low];
}

/** Lays a function out. Later registers override earlier ones, the function's own override the header's. */
export function buildLayout(options: LayoutOptions): ConfigLayout {
  const reset = new Uint8Array(CONFIG_SIZE);
  const writable = new Uint8Array(CONFIG_SIZE);
  const clearable = new Uint8Array(CONFIG_SIZE);
  const volatile = new Uint8Array(CONFIG_SIZE);
  writeBytes(volatile, CONFIG.status, 2, STATUS.interrupt);
  const { bars = [], capabilities = [], registers = [] } = options;
  for (const register of [...headerRegisters(options), ...bars.flatMap(barRegisters), ...registers]) {
    writeBytes(reset, register.offset, register.size, register.reset);
    writeBytes(writable, register.offset, register.size, register.writable ?? 0);
    writeBytes(clearable, register.offset, register.size, register.clearable ?? 0);
  }
  const offsets: number[] = [];
  let link: number = CONFIG.capabilities;
  let at: number = CONFIG.headerEnd;
  for (const { id, body, writable: mask } of capabilities) {
    if (at + 2 + body.length > CONFIG_SIZE) throw new VirtsError('internal', 'The capabilities do not fit.');
    reset[link] = at;
    reset[at] = id;
    reset.set(body, at + 2);
    if (mask) writable.set(mask, at + 2);
    offsets.push(at);
    link = at + 1;
    at = (at + 2 + body.length + 3) & ~3;
  }
  return { reset, writable, clearable, volatile, capabilities: offsets };
}
