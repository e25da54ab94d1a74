/** The engine's side of the helpers that system instructions call (`isa/system/`). */
import type { CpuContext } from './context.ts';
import {
  invalidatePcid,
  loadMachineStatusWord,
  readControlRegister,
  writeControlRegister,
} from './control-registers.ts';
import { cpuid } from './cpuid.ts';
import { readDebugRegister, writeDebugRegister } from './debug.ts';
import { accessRights, loadLocalTable, loadTask, segmentLimit, verifySegment } from './descriptor-tables.ts';
import { farReturn, interruptReturn } from './far-return.ts';
import { farCall, farJump } from './far-transfer.ts';
import { syscall, sysenter, sysexit, sysret } from './fast-call.ts';
import { softwareInterrupt } from './interrupt.ts';
import { interruptsMayFollow } from './interrupt-window.ts';
import { readMsr, writeMsr } from './msr.ts';
import { checkPort, readPort, writePort } from './port-io.ts';
import { loadSegment, segmentLinear } from './segmentation.ts';

/** Operand size in bytes as it arrives from WebAssembly. */
type Size = 2 | 4 | 8;
type PortSize = 1 | 2 | 4;

/** i64 parameters arrive signed. */
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value);

function transferFunctions(context: CpuContext) {
  const far = (selector: number, offset: bigint, size: Size, nextIp: bigint) => ({
    selector,
    offset: unsigned(offset),
    size,
    nextIp: unsigned(nextIp),
  });
  return {
    farJump: (_cpu: number, selector: number, offset: bigint, size: Size, nextIp: bigint) => {
      farJump(context, far(selector, offset, size, nextIp));
    },
    farCall: (_cpu: number, selector: number, offset: bigint, size: Size, nextIp: bigint) => {
      farCall(context, far(selector, offset, size, nextIp));
    },
    farReturn: (_cpu: number, size: Size, release: number) => {
      farReturn(context, size, release);
    },
    slowInterruptReturn: (_cpu: number, size: Size, nextIp: bigint) => {
      interruptReturn(context, size, unsigned(nextIp));
    },
    softwareInterrupt: (_cpu: number, vector: number, privileged: number, nextIp: bigint) => {
      softwareInterrupt(context, vector, privileged === 0 ? 'software' : 'privileged-software', unsigned(nextIp));
    },
    slowSyscall: (_cpu: number, nextIp: bigint) => {
      syscall(context, unsigned(nextIp));
    },
    slowSysret: (_cpu: number, wide: number) => {
      sysret(context, wide !== 0);
    },
    sysenter: () => {
      sysenter(context);
    },
    sysexit: (_cpu: number, wide: number) => {
      sysexit(context, wide !== 0);
    },
  };
}

function segmentFunctions(context: CpuContext) {
  return {
    /** `access`: bytes in the low byte, 0x100 for a write. */
    segmentCheck: (_cpu: number, segment: number, offset: bigint, access: number): bigint => {
      const kind = (access & 0x100) === 0 ? 'read' : 'write';
      return segmentLinear(context.state, segment, unsigned(offset), access & 0xff, kind) ?? 0n;
    },
    loadSegment: (_cpu: number, segment: number, selector: number) => {
      loadSegment(context, segment, selector);
    },
    loadLocalTable: (_cpu: number, selector: number) => {
      loadLocalTable(context, selector);
    },
    loadTask: (_cpu: number, selector: number) => {
      loadTask(context, selector);
    },
    accessRights: (_cpu: number, selector: number): bigint => BigInt(accessRights(context, selector)),
    segmentLimit: (_cpu: number, selector: number): bigint => BigInt(segmentLimit(context, selector)),
    verifySegment: (_cpu: number, selector: number, write: number): number =>
      verifySegment(context, selector, write !== 0) ? 1 : 0,
  };
}

function controlFunctions(context: CpuContext) {
  return {
    slowReadControlRegister: (_cpu: number, index: number): bigint => readControlRegister(context, index) ?? 0n,
    slowWriteControlRegister: (_cpu: number, index: number, value: bigint) => {
      writeControlRegister(context, index, unsigned(value));
    },
    readDebugRegister: (_cpu: number, index: number): bigint => readDebugRegister(context, index) ?? 0n,
    writeDebugRegister: (_cpu: number, index: number, value: bigint) => {
      writeDebugRegister(context, index, unsigned(value));
    },
    loadMachineStatusWord: (_cpu: number, value: number) => {
      loadMachineStatusWord(context, value);
    },
    modeChanged: () => {
      context.modeChanged();
    },
    /** Flags other than the status flags changed; `before` is EFLAGS as it was. */
    slowFlagsChanged: (_cpu: number, before: number) => {
      context.modeChanged();
      interruptsMayFollow(context, before);
    },
    invalidatePcid: (_cpu: number, type: bigint, pcid: bigint, address: bigint) => {
      invalidatePcid(context, unsigned(type), unsigned(pcid), unsigned(address));
    },
  };
}

function portFunctions(context: CpuContext) {
  return {
    checkPort: (_cpu: number, port: number, size: PortSize) => {
      checkPort(context, port, size);
    },
    readPort: (_cpu: number, port: number, size: PortSize): number => readPort(context, port, size) | 0,
    writePort: (_cpu: number, port: number, size: PortSize, value: number) => {
      writePort(context, port, size, value);
    },
  };
}

function identificationFunctions(context: CpuContext) {
  return {
    cpuid: () => {
      context.serialize?.();
      const { gpr } = context.state;
      const result = cpuid(context, Number(gpr[0] & 0xffff_ffffn), Number(gpr[1] & 0xffff_ffffn));
      // RAX, RBX, RCX, RDX by register number.
      [0, 3, 1, 2].forEach((register, i) => {
        gpr[register] = BigInt(result[i] >>> 0);
      });
    },
    readMsr: (_cpu: number, index: number): bigint => readMsr(context, index >>> 0) ?? 0n,
    writeMsr: (_cpu: number, index: number, value: bigint) => {
      writeMsr(context, index >>> 0, unsigned(value));
    },
    machineTicks: (): number => context.clock.ticks(),
    random: (): bigint => context.random(),
    hypercall: (): bigint => {
      const { gpr } = context.state;
      return context.hypercall(gpr[0], [gpr[3], gpr[1], gpr[2], gpr[6]]);
    },
  };
}

/**
 * The functions by the names of `systemHelpers`, those with a routine in WebAssembly (`routines/`) with `slow` before it, `segmentCheck` and `random`. Each takes the state block first.
 */
export function systemFunctions(context: CpuContext) {
  return {
    ...transferFunctions(context),
    ...segmentFunctions(context),
    ...controlFunctions(context),
    ...portFunctions(context),
    ...identificationFunctions(context),
  };
}
