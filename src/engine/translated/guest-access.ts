/** The functions that address translation needs from outside WebAssembly, and access to guest memory for the engine. */
import { type AccessSize, raise } from '../../cpu/context.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { VCPU, type VcpuState, VECTOR } from '../../isa/state.ts';
import { writeGuest } from '../../memory/guest-memory.ts';
import type { PhysicalMap } from '../../memory/physical-map.ts';
import type { MemoryBus } from './environment.ts';

/** Routines of the runtime module that reach guest memory. */
export interface MemoryRoutines {
  translate(cpu: number, linear: bigint, flags: number): number;
  translatePage(cpu: number, linear: bigint, flags: number): number;
  finishWrite(cpu: number): void;
  loadGuest(cpu: number, host: number, size: number): bigint;
  storeGuest(cpu: number, host: number, size: number, value: bigint): void;
}

export interface GuestAccess {
  readLinear(address: bigint, size: AccessSize, flags: number): bigint | undefined;
  writeLinear(address: bigint, size: AccessSize, value: bigint, flags: number): boolean;
  compareExchangeByte(address: bigint, expected: number, value: number, flags: number): boolean | undefined;
  probeWrite(address: bigint, size: number, flags: number): boolean;
  readPhysical(address: bigint, size: AccessSize): bigint;
  writePhysical(address: bigint, size: AccessSize, value: bigint): void;
  /** Guest-physical address of a linear one for instruction fetch, or -1 with the fault fields set. */
  fetchAddress(linear: bigint): number;
}

/** Largest piece of at most `limit` bytes that is aligned at `address`: 1, 2 or 4. */
function piece(address: number, limit: number): 1 | 2 | 4 {
  if (limit >= 4 && (address & 3) === 0) return 4;
  return limit >= 2 && (address & 1) === 0 ? 2 : 1;
}

/** Imports of the runtime module for pages that cannot be reached in place. */
export function memoryImports(buffer: ArrayBufferLike, map: PhysicalMap, mmio: MemoryBus) {
  const data = new DataView(buffer);
  const put = { 1: 'setUint8', 2: 'setUint16', 4: 'setUint32' } as const;
  const get = { 1: 'getUint8', 2: 'getUint16', 4: 'getUint32' } as const;
  function eachPiece(size: number, address: number, visit: (offset: number, bytes: 1 | 2 | 4) => void): void {
    for (let offset = 0; offset < size; ) {
      const bytes = piece(address + offset, size - offset);
      visit(offset, bytes);
      offset += bytes;
    }
  }
  return {
    writePage(_cpu: number, page: number, offset: number, size: number): number {
      const number = page >>> 0;
      const host = map.makeWritable(number);
      const from = offset & 4095;
      if (host !== 0) map.writeCode(number, from, from + size);
      return host | 0;
    },
    fetchPage(_cpu: number, page: number): number {
      return map.readable(page >>> 0) | 0;
    },
    readDevice(_cpu: number, address: bigint, size: number, to: number, forWrite: number): void {
      if (forWrite !== 0) return;
      const base = Number(address);
      eachPiece(size, base, (offset, bytes) => {
        data[put[bytes]]((to >>> 0) + offset, mmio.read(base + offset, bytes), true);
      });
    },
    writeDevice(_cpu: number, address: bigint, size: number, from: number): void {
      const base = Number(address);
      eachPiece(size, base, (offset, bytes) => {
        mmio.write(base + offset, bytes, data[get[bytes]]((from >>> 0) + offset, true));
      });
    },
  };
}

export function createGuestAccess(
  state: VcpuState,
  cpu: number,
  buffer: ArrayBufferLike,
  routines: MemoryRoutines,
  mmio: MemoryBus,
  map: PhysicalMap,
): GuestAccess {
  const data = new DataView(buffer);
  const octets = new Uint8Array(buffer);

  const load = (host: number, size: AccessSize) => BigInt.asUintN(64, routines.loadGuest(cpu, host, size));
  const store = (host: number, size: AccessSize, value: bigint) =>
    routines.storeGuest(cpu, host, size, BigInt.asIntN(64, value));
  /** Host address for a physical read inside one page of RAM, or 0. */
  function physicalHost(address: bigint, size: number): number {
    const page = Number(address >> 12n);
    const offset = Number(address & 4095n);
    if (offset + size > 4096 || page >= map.pages) return 0;
    const host = map.readable(page);
    return host === 0 ? 0 : host + offset;
  }
  return {
    readLinear(address, size, flags) {
      const host = routines.translate(cpu, BigInt.asIntN(64, address), size | flags) >>> 0;
      return host === 0 ? undefined : load(host, size);
    },
    writeLinear(address, size, value, flags) {
      const host = routines.translate(cpu, BigInt.asIntN(64, address), size | flags | MEMORY_ACCESS.write) >>> 0;
      if (host === 0) return false;
      store(host, size, value);
      if (state.pendingKind !== 0) routines.finishWrite(cpu);
      return true;
    },
    compareExchangeByte(address, expected, value, flags) {
      const access = 1 | flags | MEMORY_ACCESS.write | MEMORY_ACCESS.modify;
      const host = routines.translate(cpu, BigInt.asIntN(64, address), access) >>> 0;
      if (host === 0) return undefined;
      const done = Atomics.compareExchange(octets, host, expected, value) === expected;
      if (state.pendingKind !== 0) routines.finishWrite(cpu);
      return done;
    },
    probeWrite(address, size, flags) {
      for (let at = address; at < address + BigInt(size); at = (at | 4095n) + 1n) {
        const host = routines.translate(cpu, BigInt.asIntN(64, at), 1 | flags | MEMORY_ACCESS.write);
        state.pendingKind = 0;
        if (host === 0) return false;
      }
      const last = BigInt.asIntN(64, address + BigInt(size) - 1n);
      const host = routines.translate(cpu, last, 1 | flags | MEMORY_ACCESS.write);
      state.pendingKind = 0;
      return host !== 0;
    },
    readPhysical(address, size) {
      const host = physicalHost(address, size);
      if (host !== 0) return load(host, size);
      let value = 0n;
      for (let i = 0; i < size; i++) value |= BigInt(mmio.read(Number(address) + i, 1)) << BigInt(8 * i);
      return value;
    },
    writePhysical(address, size, value) {
      const spans = map.spans(Number(address), size, 'write');
      if (spans?.length === 1) store(spans[0].byteOffset, size, value);
      else {
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
        writeGuest(map, Number(address), bytes.subarray(0, size));
      }
    },
    fetchAddress(linear) {
      if (BigInt.asIntN(48, linear) !== BigInt.asIntN(64, linear)) {
        raise(state, VECTOR.gp, 0);
        return -1;
      }
      const host = routines.translatePage(cpu, BigInt.asIntN(64, linear), 1 | MEMORY_ACCESS.execute) >>> 0;
      if (host === 0) return -1;
      return Number(data.getBigUint64(cpu + VCPU.offsets.pendingAddress, true));
    },
  };
}
