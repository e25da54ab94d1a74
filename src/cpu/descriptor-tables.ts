/** LLDT and LTR, and the instructions that ask about descriptors: LAR, LSL, VERR, VERW. */
import { SEGMENT, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import {
  attributesOf,
  baseOf,
  type Descriptor,
  dplOf,
  exchangeType,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  isSegment,
  isWritableData,
  limitOf,
  peekDescriptor,
  readDescriptor,
  readUpperHalf,
  SYSTEM_TYPE,
  selectorError,
  TSS_BUSY,
  typeOf,
} from './descriptor.ts';
import { isLong } from './mode.ts';
import { setNull, setSegment } from './segmentation.ts';

/** A present system descriptor of one of `types` in the GDT, with its whole base; `undefined` after a fault. */
function readSystem(
  context: CpuContext,
  selector: number,
  types: readonly number[],
): { d: Descriptor; base: bigint } | undefined {
  const { state } = context;
  const error = selectorError(selector);
  if ((selector & 4) !== 0) {
    raise(state, VECTOR.gp, error);
    return undefined;
  }
  const d = readDescriptor(context, selector, VECTOR.gp);
  if (d === undefined) return undefined;
  if (isSegment(d) || !types.includes(typeOf(d))) {
    raise(state, VECTOR.gp, error);
    return undefined;
  }
  if (!isPresent(d)) {
    raise(state, VECTOR.np, error);
    return undefined;
  }
  const upper = isLong(state) ? readUpperHalf(context, d, VECTOR.gp) : 0n;
  return upper === undefined ? undefined : { d, base: (upper << 32n) | BigInt(baseOf(d)) };
}

/** LLDT, CPL already checked. */
export function loadLocalTable(context: CpuContext, selector: number): boolean {
  const { state } = context;
  if (isNull(selector)) {
    setNull(state, SEGMENT.ldtr, selector);
    return true;
  }
  const found = readSystem(context, selector, [SYSTEM_TYPE.ldt]);
  if (found === undefined) return false;
  setSegment(state, SEGMENT.ldtr, selector, found.base, limitOf(found.d), attributesOf(found.d));
  return true;
}

/** LTR, CPL already checked. Marks the TSS busy. */
export function loadTask(context: CpuContext, selector: number): boolean {
  const { state } = context;
  if (isNull(selector)) return raise(state, VECTOR.gp, 0);
  const types = isLong(state) ? [SYSTEM_TYPE.tss32] : [SYSTEM_TYPE.tss16, SYSTEM_TYPE.tss32];
  for (;;) {
    const found = readSystem(context, selector, types);
    if (found === undefined) return false;
    const marked = exchangeType(context, found.d, typeOf(found.d) | TSS_BUSY);
    if (marked === undefined) return false;
    // Where another vCPU was first, it is looked at again.
    if (!marked) continue;
    setSegment(state, SEGMENT.tr, selector, found.base, limitOf(found.d), attributesOf(found.d) | TSS_BUSY);
    return true;
  }
}

const LAR_TYPES = [1, 2, 3, 4, 5, 9, 11, 12];
const LAR_TYPES_LONG = [2, 9, 11, 12];
const LSL_TYPES = [1, 2, 3, 9, 11];
const LSL_TYPES_LONG = [2, 9, 11];

/** Whether a program at the current level may know of a segment by this selector. */
function isVisible(context: CpuContext, d: Descriptor): boolean {
  if (isSegment(d) && isCode(d) && isConforming(d)) return true;
  return dplOf(d) >= context.state.cpl && dplOf(d) >= (d.selector & 3);
}

/** What LAR and LSL see: the descriptor, `null` where ZF is to be clear, `undefined` after a page fault. */
function inspect(context: CpuContext, selector: number, types: readonly number[]): Descriptor | null | undefined {
  const d = peekDescriptor(context, selector);
  if (d === undefined || d === null) return d;
  if (!isSegment(d) && !types.includes(typeOf(d))) return null;
  return isVisible(context, d) ? d : null;
}

/** LAR: the access rights at their places, or -1 for ZF clear or a fault. */
export function accessRights(context: CpuContext, selector: number): number {
  const d = inspect(context, selector, isLong(context.state) ? LAR_TYPES_LONG : LAR_TYPES);
  return d ? d.high & 0x00f0ff00 : -1;
}

/** LSL: the limit in bytes, or -1 for ZF clear or a fault. */
export function segmentLimit(context: CpuContext, selector: number): number {
  const d = inspect(context, selector, isLong(context.state) ? LSL_TYPES_LONG : LSL_TYPES);
  return d ? limitOf(d) : -1;
}

/** VERR and VERW: whether a segment can be read or written at the current level. False also after a fault. */
export function verifySegment(context: CpuContext, selector: number, write: boolean): boolean {
  const d = peekDescriptor(context, selector);
  if (d === undefined || d === null || !isVisible(context, d)) return false;
  return write ? isWritableData(d) : isReadable(d);
}
