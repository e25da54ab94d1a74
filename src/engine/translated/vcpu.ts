/** One vCPU on the translating engine: runs guest code block by block and delivers what interrupts it. */
import type { CpuContext } from '../../cpu/context.ts';
import { beginStep, dataBreakpoints, endStep, instructionBreakpoints, noteDebug } from '../../cpu/debug.ts';
import { MODE_ALONE, MODE_SINGLE } from '../../cpu/interpreter/block-writer.ts';
import { type Block, createBlockCache, modeKeyOf } from '../../cpu/interpreter/blocks.ts';
import { CODE_INDEX_BYTES, coolCode } from '../../cpu/interpreter/code-index.ts';
import { EXIT } from '../../cpu/interpreter/exits.ts';
import { createHandlers } from '../../cpu/interpreter/handlers.ts';
import { coolEntries, coolEntry } from '../../cpu/interpreter/jump-cache.ts';
import { BLOCK_LIMIT, RECORD } from '../../cpu/interpreter/record.ts';
import { buildRuntime } from '../../cpu/interpreter/runtime.ts';
import { deliver, deliverFault } from '../../cpu/interrupt.ts';
import { keyCodeSize, MODE, modeKey } from '../../cpu/mode.ts';
import { createCodeCache, DEFAULT_CODE_LIMITS } from '../../cpu/translator/code-cache.ts';
import { compileHere, createCompiler } from '../../cpu/translator/compiler.ts';
import { REGION_INSTRUCTIONS } from '../../cpu/translator/region.ts';
import { createRegionTable } from '../../cpu/translator/region-table.ts';
import { createTranslator } from '../../cpu/translator/translator.ts';
import { IMPORTS } from '../../ir/wasm/module.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { openCounters } from '../../isa/counters.ts';
import { createDecoder, listEncodings } from '../../isa/decoder.ts';
import { createFormReader } from '../../isa/form.ts';
import { EFLAGS, NO_FAULT, RUN_ALONE, SEGMENT, VCPU, VECTOR } from '../../isa/state.ts';
import { ACTIVITY } from '../../machine/vcpu-reset.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { createBrake } from './brake.ts';
import { createBreakpoints } from './breakpoints.ts';
import { createChangedCode } from './changed-code.ts';
import { createCodeLookUp, type Start } from './code-look-up.ts';
import { createDelivery } from './delivery.ts';
import { createGuestAccess, type MemoryRoutines, memoryImports } from './guest-access.ts';
import { vcpuHelpers } from './helpers.ts';
import { stackBudget } from './host-stack.ts';
import { createRunCounts } from './run-counts.ts';
import { createTlb, revokeAllGrants, revokeGrants, type TlbRoutines } from './tlb.ts';
import type { Vcpu, VcpuMemoryEvents, VcpuOptions } from './vcpu-interface.ts';
import { placeVcpu } from './vcpu-place.ts';
import { askToLook, vcpuSignals } from './vcpu-signals.ts';
import { createVerification } from './verification.ts';
import { createVerifiedCode } from './verified-code.ts';

/** Bytes for records of decoded code, where nothing else is said. */
const RECORD_AREA = 128 * 1024 * 1024;

/** Share of the threshold that code keeps which was hot when it could not be translated. */
const NEARLY_HOT = 7 / 8;

/** Index of `poll` among the words of the state block. */
const POLL = VCPU.offsets.poll / 4;

/** Most instructions at once: the budget is an i32 that blocks may overdraw. */
const MOST = 1 << 30;

/** Values of `VcpuState.interruptShadow`. */
const SHADOW = { none: 0, sti: 1, stackSegment: 2 } as const;

interface Runtime extends MemoryRoutines, TlbRoutines {
  run(cpu: number, handler: number, record: number): number;
  dispatch(cpu: number, ignored: number): number;
  enterInterrupt?(cpu: number, vector: number): number;
  enterException?(cpu: number): number;
}

export function createVcpu(options: VcpuOptions): Vcpu & VcpuMemoryEvents {
  const { memory, arena, map, instructionSet, environment, hostNow = () => 0 } = options;
  const { buffer } = memory;
  const data = new DataView(buffer);
  const limits = options.translation?.limits ?? DEFAULT_CODE_LIMITS;
  const place = options.place ?? placeVcpu(arena, RECORD_AREA, limits.cellBytes);
  const { cpu } = place;
  const state = VCPU.view(buffer, cpu);
  const words = new Int32Array(buffer, cpu, VCPU.size / 4);
  state.tlbArea = place.tlbs;
  state.jumpCache = place.jumpCache;
  state.codeIndex = place.codeIndex;
  // Entries that were never written are of generation 0.
  state.jumpGeneration = 1;
  state.jumpFloor = 1;
  state.mapBase = map.base;
  state.mapPages = map.pages;
  state.faultVector = NO_FAULT;

  let retired = 0;
  let sliceBudget = 0;
  let running = false;
  /** Bits of the mode beside those of the architecture. */
  let modeExtra = 0;
  let stopping = false;
  let codeBase = 0n;
  let codeLimit = 0;

  const threshold = options.translation?.threshold ?? 0;
  const translates = threshold > 0;
  const verify = options.translation?.verify;
  const verified = verify && createVerifiedCode(arena, verify);
  const delivers = environment.onException === undefined && instructionSet.delivers === true;
  const counts = createRunCounts({ counters: openCounters(buffer, cpu), translates, delivers });
  const plainHelpers = vcpuHelpers(instructionSet, threshold, delivers);
  const helpers = verified?.helpers(plainHelpers) ?? plainHelpers;
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
  const context = {} as { -readonly [K in keyof CpuContext]: CpuContext[K] };
  const imports: WebAssembly.ModuleImports = {
    memory,
    table,
    ...memoryImports(buffer, map, environment.mmio),
    watchAccess(_cpu: number, linear: bigint, flags: number): void {
      const write = (flags & MEMORY_ACCESS.write) !== 0;
      state.debugPending |= dataBreakpoints(state, BigInt.asUintN(64, linear), flags & 0xff, write);
    },
    resolve: (_cpu: number, exit: number) => resolve(exit),
    regionCheck: (_cpu: number, cell: number) => (lookUp.regionStands(cell) ? 1 : 0),
    ...instructionSet.implementation(context),
  };
  const runtime = new WebAssembly.Instance(new WebAssembly.Module(buildRuntime(helpers)), {
    [IMPORTS]: imports,
  }).exports as unknown as Runtime;
  const alike = <T>(work: () => T): T => work();
  const { aside = alike, within = alike } = environment;
  const handlers = createHandlers({
    memory,
    table,
    aside,
    functions: { ...imports, ...(runtime as object) },
    helpers: new Map(helpers.map((h) => [h.name, h])),
    threshold,
    ...(verified && { begin: verified.beginHandler }),
  });
  /** What stood at addresses may have moved. */
  const mappingsChanged = () => runtime.forgetJumps(cpu, 0);
  /** Records, or what addresses mean, changed. */
  const forgetJumps = () => runtime.forgetJumps(cpu, 1);
  const breakpoints = createBreakpoints();
  const encodings = listEncodings(instructionSet.definitions);
  const decode = createDecoder(encodings);
  const blocks = createBlockCache({
    buffer,
    area: place.records,
    holder: environment.topology.apicId,
    map,
    decode,
    formLength: createFormReader(encodings),
    handlers,
    shared: environment.exclusively !== undefined,
    coreAfter: options.coreAfter,
    forgetJumps() {
      forgetJumps();
      new Uint8Array(buffer, state.codeIndex, CODE_INDEX_BYTES).fill(0);
    },
    codeDropped() {
      state.epoch = (state.epoch + 1) >>> 0;
    },
    separates: breakpoints.separates,
  });
  const changedCode = createChangedCode(buffer, place.changedCode, arena.thread);
  const brake = createBrake(data, handlers.special.leave);
  const stackBytes = translates ? stackBudget(memory, cpu + VCPU.offsets.scratch) : 0;
  const regions = createRegionTable(buffer, place.cells);
  const codeCache = createCodeCache(regions, limits, blocks.restore, (gone) => {
    coolEntries(buffer, state.jumpCache, new Set([...gone].map(({ record }) => record)));
    // Links lead past the count of visits. What runs leaves, for its cells may be another region's from now on.
    mappingsChanged();
  });
  // What differs from run to run could not be compared.
  const plain = new Set([...(instructionSet.plain ?? [])].filter(({ unrecorded }) => !verify || unrecorded !== true));
  /** Visits to a block, whatever they come by, count anew; where it is to ask soon, its address begins near the threshold. */
  function cool(block: Block, ip: bigint, soon: boolean): void {
    blocks.cool(block);
    const { record, page, start } = block;
    // The visit that made it hot comes still, and must not do so again.
    const heat = soon ? Math.floor(threshold * NEARLY_HOT) - 1 : 0;
    coolEntry(data, state.jumpCache, ip, record, heat);
    coolCode(data, state.codeIndex, { host: map.readable(page) + start, modeKey: modeKeyOf(block), record });
  }
  const compileInThread = () =>
    compileHere(createCompiler({ decode, helpers, begin: verified?.beginRegion, now: hostNow }));
  const translator = options.translation
    ? createTranslator({
        blocks,
        handlers: verified?.watch(handlers) ?? handlers,
        table: regions,
        cache: codeCache,
        // What is verified knows where the vCPU has its log.
        compiler: (verified === undefined && options.compiler) || compileInThread(),
        plain,
        threshold,
        cool,
        aside,
        now: hostNow,
      })
    : undefined;
  const tlb = createTlb(state, cpu, buffer, runtime, mappingsChanged);
  const access = createGuestAccess(state, cpu, buffer, runtime, environment.mmio, map);

  /** Instructions retired, exact even while one runs. */
  function retiredNow(): number {
    if (!running) return retired;
    return retired + (sliceBudget - state.budget) + countBefore(state.current);
  }
  function countBefore(record: number): number {
    return record === 0 ? 0 : data.getUint16(record + RECORD.count, true) - 1;
  }

  /** Makes the run come back after the instruction that runs now. */
  function signal(): void {
    askToLook(state);
    if (running && state.current !== 0) brake.set(state.current);
  }

  function modeChanged(): void {
    const before = state.modeKey;
    const base = state.segmentBase[SEGMENT.cs];
    const limit = state.segmentLimit[SEGMENT.cs];
    // The jump cache goes by instruction pointer: another code segment makes other code of it.
    if (base !== codeBase || limit !== codeLimit) forgetJumps();
    codeBase = base;
    codeLimit = limit;
    state.modeKey = modeKey(state) | modeExtra;
    tlb.select();
    if (((before ^ state.modeKey) & MODE.debug) !== 0) signal();
    if (state.interruptShadow === SHADOW.sti && (state.eflags & EFLAGS.if) === 0) state.interruptShadow = 0;
  }

  Object.assign(context, {
    state,
    topology: environment.topology,
    readLinear: access.readLinear,
    writeLinear: access.writeLinear,
    compareExchangeByte: access.compareExchangeByte,
    probeWrite: access.probeWrite,
    readPhysical: access.readPhysical,
    writePhysical: access.writePhysical,
    readPort: (port, size) => environment.ports.read(port, size),
    writePort: (port, size, value) => environment.ports.write(port, size, value),
    apic: environment.apic,
    clock: environment.clock,
    random: environment.random,
    hypercall: environment.hypercall,
    flushTlb(kind, address, pcid) {
      counts.flushed();
      tlb.flush(kind, address, pcid);
    },
    modeChanged,
    serialize: takeChanges,
    signal,
    interruptWaits() {
      if (state.interruptShadow === SHADOW.sti) state.shadowBudget = state.budget - countBefore(state.current) - 1;
      return environment.interrupts.pending();
    },
    log: environment.log,
  } satisfies CpuContext);

  const lookUp = createCodeLookUp({ state, cpu, data, map, access, blocks, regions, breakpoints });
  const { stops, linearIp, findBlock, pageNear, interpretNext } = lookUp;
  const { mayInterrupt, interruptsWait, deliverPending, deliverTrap, takeStart } = createDelivery({
    context,
    environment,
    enterInterrupt: (vector) => runtime.enterInterrupt?.(cpu, vector) === 1,
    restart,
  });

  function raiseFault(): void {
    environment.onException?.(state.faultVector, state.faultHasError !== 0 ? state.faultError : undefined);
    state.pendingKind = 0;
    state.budget--;
    counts.interpreted(1);
    state.current = 0;
    if (runtime.enterException?.(cpu) !== 1) deliverFault(context);
  }

  /** Puts `rip` at the instruction in `current`, which faulted, and counts those before it. */
  function backToCurrent(): void {
    const record = state.current;
    const ip = state.ipBase + BigInt(data.getUint16(record + RECORD.offset, true));
    state.rip = BigInt.asUintN(keyCodeSize(state.modeKey) * 8, ip);
    state.budget -= countBefore(record);
    counts.interpreted(countBefore(record));
  }

  /** Finds the code at `rip` for an exit of `RESOLVED`. Returns 0 where the run may go on, else how it ends. */
  function resolve(exit: number): number {
    counts.resolved(exit);
    const from = exit === EXIT.link ? state.current : 0;
    state.current = 0;
    // No instruction is under way: its brake is not needed, and must not be taken for a handler.
    brake.release();
    const { flushes } = blocks.stats;
    const found = findBlock();
    if (stops.hit) return EXIT.poll;
    if (found === undefined) {
      raiseFault();
      return state.activity === ACTIVITY.running ? 0 : EXIT.poll;
    }
    if (exit === EXIT.hot) {
      const base = state.rip - BigInt(found.start);
      const pageAt = (distance: number) => within(() => pageNear(base, distance));
      translator?.translate({ block: found, modeKey: state.modeKey, ipBase: base, pageAt });
    } else if (exit === EXIT.link && blocks.stats.flushes === flushes) blocks.link(from, found);
    return 0;
  }

  const verification =
    verified &&
    createVerification(arena, verified, {
      cpu,
      state,
      table,
      dispatch: runtime.dispatch,
      setSingle,
      selectTlb: tlb.select,
      interpretNext,
      nextInstruction() {
        const host = map.readable(pageNear(state.rip, 0));
        if (host === 0) return 'not mapped';
        const page = new Uint8Array(buffer, host, PAGE_SIZE);
        const offset = Number(state.rip & 0xfffn);
        const instruction = decode(page, offset, blocks.modeOf(state.modeKey));
        if (typeof instruction === 'string') return instruction;
        const code = [...page.subarray(offset, offset + instruction.length)];
        const digits = code.map((byte) => byte.toString(16).padStart(2, '0')).join('');
        return `${instruction.encoding.definition.name} (${digits})`;
      },
      pageOf: (host) =>
        Array.from({ length: map.pages }, (_, page) => page).find((p) => map.readable(p) === host) ?? -1,
    });

  /** Runs compiled code until the budget is used up or something waits. */
  function enter(budget: number): void {
    sliceBudget = budget;
    state.budget = budget;
    state.shadowBudget = MOST + 1;
    state.current = 0;
    state.eventsWait = state.nmiPending !== 0 || environment.interrupts.pending() ? 1 : 0;
    state.depth = stackBytes;
    running = true;
    let start: Start | undefined;
    for (;;) {
      let exit = runtime.run(cpu, start?.handler ?? 0, start?.record ?? 0);
      start = undefined;
      brake.release();
      if (exit === EXIT.verify && verification !== undefined) {
        exit = verification.check();
        if (exit === EXIT.dispatch) continue;
      }
      counts.ended(exit, state.faultVector !== NO_FAULT);
      if (exit === EXIT.poll) break;
      if (exit === EXIT.fault) backToCurrent();
      state.current = 0;
      state.depth = stackBytes;
      if (state.faultVector === RUN_ALONE) {
        state.faultVector = NO_FAULT;
        if (state.budget <= 0) break;
        runAlone();
        if (stops.hit) break;
        if (state.faultVector === NO_FAULT) continue;
      }
      if (state.faultVector === NO_FAULT) {
        // A region may have overdrawn the budget by all that it may.
        if (state.budget <= 0) break;
        start = interpretNext();
        if (start !== undefined) continue;
        if (stops.hit) break;
      }
      raiseFault();
      if (state.activity !== ACTIVITY.running) break;
    }
    running = false;
    retired += sliceBudget - state.budget;
    counts.ran(sliceBudget - state.budget);
    state.instructions = BigInt(retired);
    // Code runs on after an STI that no interrupt waited for; a load of SS comes back at once.
    if (state.interruptShadow === SHADOW.sti && state.budget !== state.shadowBudget) state.interruptShadow = 0;
  }

  /** Runs the instruction at `rip`, which cannot be atomic, while no other vCPU runs. It may end with a fault. */
  function runAlone(): void {
    counts.alone();
    const before = modeExtra;
    environment.exclusively?.(() => {
      setModeExtra(MODE_SINGLE | MODE_ALONE);
      const next = interpretNext();
      if (next !== undefined) {
        // It comes back behind the instruction, with the count of instructions right at every moment.
        const held = state.budget - 1;
        sliceBudget -= held;
        state.budget = 1;
        if (runtime.run(cpu, next.handler, next.record) === EXIT.fault) backToCurrent();
        brake.release();
        state.current = 0;
        sliceBudget += held;
        state.budget += held;
      }
      setModeExtra(before);
    });
  }

  function setModeExtra(bits: number): void {
    state.modeKey = (state.modeKey & ~modeExtra) | bits;
    modeExtra = bits;
  }
  function setSingle(value: boolean): void {
    setModeExtra(value ? MODE_SINGLE : 0);
  }

  /** One instruction with a look at debug conditions before and after it. */
  function stepDebug(): void {
    const code = keyCodeSize(state.modeKey) === 8 ? state.rip : state.rip + state.segmentBase[SEGMENT.cs];
    const hits = instructionBreakpoints(state, code);
    if (hits !== 0) {
      noteDebug(state, hits);
      deliver(context, VECTOR.db, 'exception');
      return;
    }
    if ((state.eflags & EFLAGS.tf) !== 0) beginStep(state);
    const resumed = (state.eflags & EFLAGS.rf) !== 0;
    const shadow = state.interruptShadow;
    const before = state.rip;
    enter(1);
    if (shadow !== 0 && state.interruptShadow === shadow) state.interruptShadow = 0;
    // RF covers one instruction; IRET and task switches may set it anew.
    if (resumed && state.rip !== before) {
      state.eflags &= ~EFLAGS.rf;
      modeChanged();
    }
    deliverTrap(endStep(state));
  }

  function stepShadowed(): void {
    setSingle(true);
    const shadow = state.interruptShadow;
    enter(1);
    if (state.interruptShadow === shadow) state.interruptShadow = 0;
    setSingle(false);
  }

  /** Instructions that code may run past the budget. */
  const overshoot = translator === undefined ? BLOCK_LIMIT : BLOCK_LIMIT + REGION_INSTRUCTIONS;

  /** Drops code that other threads changed, once what they were about to store is there. */
  function takeChanges(): void {
    if (!changedCode.any()) return;
    changedCode.take(blocks.invalidate, blocks.clear);
    environment.exclusively?.(() => {});
  }

  function restart(): void {
    tlb.flush('all');
    modeChanged();
  }

  /** Runs up to `count` instructions, or fewer where something has to be looked at first. */
  function slice(count: number, exact: boolean): void {
    if ((state.modeKey & MODE.debug) !== 0) {
      stepDebug();
    } else if (state.interruptShadow !== 0 && interruptsWait()) {
      stepShadowed();
    } else {
      state.interruptShadow = 0;
      setSingle(exact && count <= overshoot);
      enter(Math.min(modeExtra !== 0 || !exact ? count : count - overshoot, MOST));
      setSingle(false);
    }
  }

  return {
    state,
    context,
    retired: retiredNow,
    ...vcpuSignals(state, signal),
    run(count, exact = false) {
      const end = retired + count;
      stopping = false;
      translator?.collect();
      while (retired < end) {
        if (stopping) return 'stopped';
        // What it told of is looked at below; what it tells from now on is seen at the next boundary.
        Atomics.store(words, POLL, 0);
        if (environment.pass?.() === false) return 'stopped';
        takeChanges();
        takeStart();
        if (state.debugPending !== 0) deliverTrap(false);
        if (mayInterrupt()) deliverPending();
        if (state.activity !== ACTIVITY.running) return 'inactive';
        // Debug conditions must not be looked at for an instruction that does not begin.
        stops.hit = breakpoints.at(linearIp());
        if (!stops.hit) slice(end - retired, exact);
        if (stops.hit) {
          stops.hit = false;
          return 'breakpoint';
        }
      }
      return 'count';
    },
    step(interrupts) {
      takeChanges();
      takeStart();
      if (state.debugPending !== 0 && deliverTrap(false)) return true;
      const halted = state.activity === ACTIVITY.halted;
      const { rip } = state;
      if (halted || (interrupts && mayInterrupt())) {
        if (interruptsWait()) {
          deliverPending();
          if (state.rip !== rip) return true;
        }
      }
      if (state.activity !== ACTIVITY.running) return false;
      stops.stepping = true;
      const shadow = state.interruptShadow;
      Atomics.store(words, POLL, 0);
      if ((state.modeKey & MODE.debug) !== 0) stepDebug();
      else {
        setSingle(true);
        enter(1);
        setSingle(false);
        if (state.interruptShadow === shadow) state.interruptShadow = 0;
      }
      stops.stepping = false;
      // The address of a breakpoint may have entered the jump cache.
      forgetJumps();
      return true;
    },
    setBreakpoints(addresses) {
      breakpoints.set(addresses);
      blocks.clear();
    },
    stop() {
      stopping = true;
      signal();
    },
    awake: () =>
      state.activity === ACTIVITY.running ||
      state.initPending !== 0 ||
      (state.activity === ACTIVITY.waitForStart && state.startPending !== 0) ||
      (state.activity === ACTIVITY.halted && interruptsWait()),
    interruptsWait,
    stateReplaced() {
      retired = Number(state.instructions);
      restart();
    },
    memoryReplaced() {
      blocks.clear();
      tlb.flush('all');
    },
    codeWritten: (page, from, to) => blocks.invalidate(page, from, to),
    revoked: (host, moved) => revokeGrants(runtime, state, cpu, host, moved),
    revoke: (other, at, host, moved) => revokeGrants(runtime, other, at, host, moved),
    revokeAll: (at) => revokeAllGrants(runtime, at),
    stats: () => ({
      ...blocks.stats,
      ...handlers.stats,
      ...(translator === undefined ? {} : { ...translator.stats(), 'regions evicted': codeCache.evicted }),
      'regions live': regions.size,
      'live code bytes': regions.codeBytes,
      ...counts.stats(),
      ...verification?.stats(),
    }),
  };
}
