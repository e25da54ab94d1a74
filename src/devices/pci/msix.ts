/** MSI-X: a table of messages and a pending bit array behind a BAR (PCI Local Bus 3.0, 6.8.2). */
import type { AccessSize, Region } from '../device.ts';
import { readBytes } from './config-space.ts';
import type { PciCapability } from './layout.ts';

const CAPABILITY_ID = 0x11;
const CONTROL = { functionMask: 0x4000, enable: 0x8000 } as const;
const VECTOR_MASKED = 1;

/** State of an MSI-X capability with `vectors` entries (1 to 128); spread it into the device's schema. */
export function msixFields(vectors: number) {
  return { msixTable: ['u32', 4 * vectors], msixPending: ['u32', 2 * Math.ceil(vectors / 64)] } as const;
}

/** Bytes of the region: the table from 0, the pending bits from the middle. */
const REGION_SIZE = 4096;
const PENDING_OFFSET = 2048;

export interface MsixOptions {
  readonly table: Uint32Array;
  readonly pending: Uint32Array;
  /** The BAR that maps `region`. */
  readonly bar: number;
  /** The capability's message control register, and whether the function may master the bus. */
  readonly control: () => number;
  readonly busMaster: () => boolean;
  /** Writes `data` to `address`: the interrupt message. */
  readonly send: (address: number, data: number) => void;
}

export interface Msix {
  readonly vectors: number;
  readonly capability: PciCapability;
  readonly region: Region;
  enabled(): boolean;
  /** Sends a vector's message, or remembers it while it is masked. A vector that does not exist is ignored. */
  trigger(vector: number): void;
  /** Sends what was pending and no longer is masked; call after the control or command register changed. */
  update(): void;
  reset(): void;
  /** Whether the table holds only what a guest could have written. */
  sound(): boolean;
}

function capability(vectors: number, bar: number): PciCapability {
  const body = new Uint8Array(10);
  const view = new DataView(body.buffer);
  view.setUint16(0, vectors - 1, true);
  view.setUint32(2, bar, true);
  view.setUint32(6, PENDING_OFFSET | bar, true);
  const writable = new Uint8Array(10);
  writable[1] = (CONTROL.functionMask | CONTROL.enable) >> 8;
  return { id: CAPABILITY_ID, body, writable };
}

/** Makes the MSI-X part of a function over the state that `msixFields` declared. */
export function createMsix(options: MsixOptions): Msix {
  const { table, pending, control, busMaster, send } = options;
  const vectors = table.length / 4;
  const bytes = new Uint8Array(table.buffer, table.byteOffset, table.byteLength);
  const pendingBytes = new Uint8Array(pending.buffer, pending.byteOffset, pending.byteLength);
  const enabled = () => (control() & CONTROL.enable) !== 0;
  /** A function that may not master the bus holds its messages back like a masked one. */
  const open = () => (control() & (CONTROL.enable | CONTROL.functionMask)) === CONTROL.enable && busMaster();
  const masked = (vector: number) => (table[4 * vector + 3]! & VECTOR_MASKED) !== 0;

  function deliver(vector: number): void {
    const entry = 4 * vector;
    send(
      table[entry + 1]! * 2 ** 32 + (table[entry]! & ~3) + (table[entry]! >= 2 ** 31 ? 2 ** 32 : 0),
      table[entry + 2]!,
    );
  }

  function update(): void {
    if (!pending.some((word) => word !== 0) || !open()) return;
    for (let vector = 0; vector < vectors; vector++) {
      const bit = 1 << (vector & 31);
      if ((pending[vector >> 5]! & bit) === 0 || masked(vector)) continue;
      pending[vector >> 5]! &= ~bit;
      deliver(vector);
    }
  }

  function write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && offset + i < bytes.length; i++) {
      const at = offset + i;
      // Of the vector control dword only the mask bit exists.
      const mask = (at & 15) < 12 ? 0xff : (at & 15) === 12 ? VECTOR_MASKED : 0;
      bytes[at] = (value >>> (8 * i)) & mask;
    }
    update();
  }

  function reset(): void {
    pending.fill(0);
    table.fill(0);
    for (let vector = 0; vector < vectors; vector++) table[4 * vector + 3] = VECTOR_MASKED;
  }

  return {
    vectors,
    capability: capability(vectors, options.bar),
    region: {
      size: REGION_SIZE,
      read(offset, size) {
        if (offset + size <= bytes.length) return readBytes(bytes, offset, size);
        const at = offset - PENDING_OFFSET;
        return at >= 0 && at + size <= pendingBytes.length ? readBytes(pendingBytes, at, size) : 0;
      },
      write,
    },
    enabled,
    trigger(vector) {
      if (vector >= vectors || !enabled()) return;
      if (open() && !masked(vector)) deliver(vector);
      else pending[vector >> 5]! |= 1 << (vector & 31);
    },
    update,
    reset,
    sound: () => table.every((word, i) => i % 4 !== 3 || word <= VECTOR_MASKED),
  };
}
