/** Runs recorded cases on the translating engine and compares what they do with what the hardware did. */

import { readFlags, writeFlags } from '../../src/cpu/flags.ts';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { FPR_STRIDE, SEGMENT, VCPU, XMM_STRIDE } from '../../src/isa/state.ts';
import { ACTIVITY } from '../../src/machine/vcpu-reset.ts';
import { writeGuest } from '../../src/memory/guest-memory.ts';
import { compareOutcome } from '../../tools/corpus/compare.ts';
import type { CorpusCase } from '../../tools/corpus/format.ts';
import {
  CODE_BYTES,
  COMPLETED,
  DATA_SIZE,
  IMAGE,
  type Mode,
  SEGMENTS,
  START,
  TEST,
  TIMED_OUT,
  WINDOW,
  WINDOW_SIZE,
} from '../../tools/corpus/layout.ts';
import type { MemoryRun, Outcome, SegmentChanges } from '../../tools/corpus/outcome.ts';
import { createWorld } from './world.ts';

export interface Replay {
  /** One line for each difference between the hardware's outcome and ours; none where they agree. */
  run(test: CorpusCase): string[];
  stats(): Record<string, number>;
}

const RESUME_FLAG = 0x10000;
const TOP_SHIFT = 11;
const TOP_MASK = 7 << TOP_SHIFT;
const INT3 = 0xcc;
const UNDEFINED_OPCODE = 6;
const PAGE_FAULT = 14;

/** More instructions (and repetitions) than any case has. */
const MOST_STEPS = 4096;

/** `translation`: how code is translated; absent: it is interpreted. `shared`: as where other threads reach guest memory. */
export function createReplay(translation?: Translation, shared = false): Replay {
  let vector = -1;
  const outcome: { -readonly [K in keyof Outcome]: Outcome[K] } = {
    image: new DataView(new ArrayBuffer(IMAGE.size)),
    fault: undefined,
    memory: [],
    segments: {},
  };
  const world = createWorld(
    (raised, error) => {
      // A shutdown raises further exceptions; the first is the outcome.
      if (vector >= 0) return;
      vector = raised;
      collect(raised, error ?? 0);
    },
    translation,
    shared,
  );
  const { vcpu, block, map, data } = world;
  const { state } = vcpu;
  const { offsets } = VCPU;
  const state8 = new Uint8Array(block.buffer, block.byteOffset, VCPU.size);
  const image = outcome.image;
  const image8 = new Uint8Array(image.buffer);
  const before = new Uint8Array(data);
  const now32 = new Uint32Array(data.buffer, data.byteOffset, DATA_SIZE / 4);
  const before32 = new Uint32Array(before.buffer);
  const code = new Uint8Array(CODE_BYTES + 1);
  let mode: Mode | undefined;
  let segmentsChanged = false;
  let written: Uint8Array | undefined;

  function loadFpu(view: DataView): void {
    const at = TEST.image;
    const status = view.getUint16(at + IMAGE.status, true);
    const top = (status & TOP_MASK) >> TOP_SHIFT;
    state.fcw = view.getUint16(at + IMAGE.control, true);
    state.fsw = status & ~TOP_MASK;
    state.fpTop = top;
    state.ftw = view.getUint8(at + IMAGE.tag);
    state.fop = view.getUint16(at + IMAGE.opcode, true);
    state.fip = view.getBigUint64(at + IMAGE.instruction, true);
    state.fdp = view.getBigUint64(at + IMAGE.operand, true);
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at + IMAGE.st, 128);
    for (let i = 0; i < 8; i++) {
      state8.set(bytes.subarray(16 * i, 16 * i + 16), offsets.fpr + FPR_STRIDE * ((top + i) & 7));
    }
  }

  function saveFpu(): void {
    const top = state.fpTop & 7;
    image.setUint16(IMAGE.control, state.fcw, true);
    image.setUint16(IMAGE.status, (state.fsw & ~TOP_MASK) | (top << TOP_SHIFT), true);
    image.setUint16(IMAGE.tag, state.ftw, true);
    image.setUint16(IMAGE.opcode, state.fop, true);
    image.setBigUint64(IMAGE.instruction, state.fip, true);
    image.setBigUint64(IMAGE.operand, state.fdp, true);
    for (let i = 0; i < 8; i++) {
      const from = offsets.fpr + FPR_STRIDE * ((top + i) & 7);
      image8.set(state8.subarray(from, from + 10), IMAGE.st + 16 * i);
    }
  }

  function load(test: CorpusCase): void {
    const view = test.input;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, TEST.size);
    if (mode !== test.form.mode || segmentsChanged) {
      world.enter(test.form.mode);
      ({ mode } = test.form);
    }
    if (written !== test.bytes) {
      code.fill(INT3);
      code.set(test.bytes);
      writeGuest(map, world.codeAddress + START, code);
      written = test.bytes;
    }
    state8.set(bytes.subarray(TEST.image, TEST.image + 128), offsets.gpr);
    state.rip = view.getBigUint64(TEST.image + IMAGE.rip, true);
    writeFlags(state, view.getUint32(TEST.image + IMAGE.rflags, true));
    loadFpu(view);
    state.mxcsr = view.getUint32(TEST.image + IMAGE.mxcsr, true);
    for (let i = 0; i < 16; i++) {
      const from = TEST.image + IMAGE.xmm + 16 * i;
      state8.set(bytes.subarray(from, from + 16), offsets.xmm + XMM_STRIDE * i);
    }
    const window = bytes.subarray(TEST.window, TEST.window + WINDOW_SIZE);
    data.set(window, WINDOW);
    before.set(window, WINDOW);
    state.activity = ACTIVITY.running;
    vcpu.context.modeChanged();
  }

  function saveSegments(): void {
    const changes: SegmentChanges = {};
    const { segmentSelector, segmentBase } = state;
    const initial = SEGMENTS[mode!];
    for (const [name, index] of SEGMENT_NAMES) {
      if (segmentSelector[index] !== initial[name].selector) changes[name] = BigInt(segmentSelector[index]!);
    }
    if (segmentBase[SEGMENT.fs] !== initial.fs.base) changes.fsBase = segmentBase[SEGMENT.fs]!;
    if (segmentBase[SEGMENT.gs] !== initial.gs.base) changes.gsBase = segmentBase[SEGMENT.gs]!;
    outcome.segments = changes;
    segmentsChanged = Object.keys(changes).length > 0;
  }

  /** Takes the changed bytes of the data pages and gives them their first contents again. */
  function saveMemory(): MemoryRun[] {
    if (Buffer.compare(data, before) === 0) return [];
    const runs: MemoryRun[] = [];
    for (let word = 0; word < now32.length; word++) {
      if (now32[word] === before32[word]) continue;
      const at = word * 4;
      runs.push({ offset: at, bytes: data.slice(at, at + 4) });
      now32[word] = before32[word]!;
    }
    return runs;
  }

  function collect(raised: number, error: number): void {
    image8.set(state8.subarray(offsets.gpr, offsets.gpr + 128));
    if (mode !== 64) for (let i = 0; i < 16; i++) image.setUint32(8 * i + 4, 0, true);
    const { rip } = state;
    image.setBigUint64(IMAGE.rip, rip, true);
    image.setBigUint64(IMAGE.rflags, BigInt((readFlags(state) & ~RESUME_FLAG) >>> 0), true);
    saveFpu();
    image.setUint32(IMAGE.mxcsr, state.mxcsr, true);
    for (let i = 0; i < 16; i++) {
      const from = offsets.xmm + XMM_STRIDE * i;
      image8.set(state8.subarray(from, from + 16), IMAGE.xmm + 16 * i);
    }
    const ended = raised === UNDEFINED_OPCODE && isEnd(Number(rip & 0x1fffn));
    const address = raised === PAGE_FAULT ? state.faultAddress : 0n;
    outcome.fault = ended ? undefined : { vector: raised, error, address };
    outcome.memory = saveMemory();
    saveSegments();
  }

  /** Whether an offset in the code pages holds INT3 and no byte of the case. */
  function isEnd(offset: number): boolean {
    return offset < START || offset >= START + written!.length;
  }

  return {
    run(test) {
      load(test);
      vector = -1;
      vcpu.run(MOST_STEPS);
      if (vector < 0) {
        collect(TIMED_OUT, 0);
        outcome.fault = { vector: COMPLETED + 1, error: 0, address: 0n };
      }
      // FOP is not kept by the x87 unit (`isa/x87/common.ts`).
      image.setUint16(IMAGE.opcode, test.expected.image.getUint16(IMAGE.opcode, true), true);
      return compareOutcome(test, outcome);
    },
    stats: () => vcpu.stats(),
  };
}

const SEGMENT_NAMES = (['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const).map((name) => [name, SEGMENT[name]] as const);
