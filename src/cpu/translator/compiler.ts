/**
 * Compiles a region: from a request to a reply, both of which are plain data that may go to another thread and back.
 * Nothing here knows a vCPU.
 */
import type { Signature } from '../../ir/node.ts';
import type { Decoder } from '../../isa/decoder.ts';
import type { Helper } from '../../isa/helpers.ts';
import { GPR } from '../../isa/state.ts';
import { HANDLER } from '../interpreter/builder.ts';
import { encodeModule, type LinkedNumbers, SELF } from '../interpreter/function-module.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import type { CompiledRegions } from './compiled-regions.ts';
import { offsetAt } from './inlining.ts';
import type { RegionBlock, RegionInstruction } from './region.ts';
import { analyseReducible, nodesInLoops } from './structure.ts';
import { type RegionPlan, RegionWriter } from './writer.ts';

export interface RegionRequest {
  /** Names the request in its reply. */
  readonly id: number;
  readonly mode: ShapeMode;
  /** As in `RegionBlock`, the entry first; with the number of bytes that the instructions have. */
  readonly blocks: readonly (Omit<RegionBlock, 'instructions' | 'end' | 'bytes'> & { readonly length: number })[];
  /** The bytes of all blocks, one after another. */
  readonly code: Uint8Array;
  /** As `RegionPlan` has it. */
  readonly checked: boolean;
  /** Its place in the function table and the address of its cells; absent: it is told both when it is linked. */
  readonly numbers?: LinkedNumbers | undefined;
}

export interface RegionReply {
  readonly id: number;
  /** Absent: its frame would take too much of the host's stack. */
  readonly made?: CompiledRegion;
  /** It was compiled before, for another that asked. */
  readonly again?: true;
  /** Milliseconds that it took. */
  readonly times: { readonly building: number; readonly encoding: number; readonly WebAssembly: number };
}

export interface CompiledRegion {
  readonly module: WebAssembly.Module;
  /** Functions that it imports by name, besides memory and table. */
  readonly imports: readonly string[];
  /** What the module was made of. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Cells that it uses, from the one of the request on. */
  readonly cells: number;
}

/** Where regions are compiled. */
export interface CompilerPort {
  post(request: RegionRequest): void;
  /** The next reply, if there is one by now. Replies need not come in the order of their requests. */
  take(): RegionReply | undefined;
}

/** Begins a region. */
export type WriterFactory = (...args: ConstructorParameters<typeof RegionWriter>) => RegionWriter;

export interface CompilerOptions {
  readonly decode: Decoder;
  /** What regions may call. Their bodies do not matter. */
  readonly helpers: readonly Helper[];
  /** Absent: a `RegionWriter`. */
  readonly begin?: WriterFactory | undefined;
  /** Absent: V8 compiles the module's function when it is first called. */
  readonly createModule?: ModuleFactory;
  /** Where what was compiled is kept for the next who asks; absent: nowhere. */
  readonly kept?: CompiledRegions | undefined;
  /** Host time in milliseconds, for statistics. */
  now(): number;
}

type ModuleFactory = (bytes: Uint8Array<ArrayBuffer>) => WebAssembly.Module;

/** First guess at the bytes of a frame: for each instruction, and beside them. */
const FRAME_GUESS = { instruction: 16, fixed: 512 } as const;
/** A region whose frame takes more would use up the stack of a host thread in a few calls. */
const FRAME_LIMIT = 32 * 1024;

function decodeBlocks({ blocks, code, mode }: RegionRequest, decode: Decoder): RegionBlock[] {
  let at = 0;
  return blocks.map(({ length, ...block }) => {
    const bytes = code.subarray(at, at + length);
    at += length;
    const instructions: RegionInstruction[] = [];
    for (let from = 0; from < length; ) {
      const instruction = decode(bytes, from, mode);
      if (typeof instruction === 'string') throw new TypeError(`code of a region is ${instruction}`);
      instructions.push({ instruction, offset: offsetAt(block.offset) + from });
      from += instruction.length;
    }
    return { ...block, bytes, instructions, end: block.offset + length };
  });
}

/** General registers that a region loads from memory. */
function registersLoaded(blocks: readonly RegionBlock[]): Set<number> {
  const loaded = new Set<number>();
  for (const { instructions } of blocks) {
    for (const { instruction } of instructions) {
      const [to, from] = instruction.operands;
      const isLoad = instruction.encoding.definition.name === 'mov' && from?.kind === 'memory';
      if (isLoad && to.kind === 'gpr' && to.size >= 4) loaded.add(to.index);
    }
  }
  return loaded;
}

/** Whether RBP is given the stack pointer, or becomes it. */
function hasFramePointer(blocks: readonly RegionBlock[]): boolean {
  return blocks.some(({ instructions }) =>
    instructions.some(({ instruction }) => {
      const { name } = instruction.encoding.definition;
      const [to, from] = instruction.operands;
      if (name === 'leave' || name === 'enter') return true;
      if (to?.kind !== 'gpr' || to.index !== GPR.rbp || to.size < 4) return false;
      if (name === 'mov') return from.kind === 'gpr' && from.index === GPR.rsp;
      return name === 'lea' && from.kind === 'memory' && from.base === GPR.rsp;
    }),
  );
}

function plan(request: RegionRequest, decode: Decoder): Omit<RegionPlan, 'frame'> {
  const blocks = decodeBlocks(request, decode);
  const index = new Map(blocks.map((block, i) => [block.offset, i]));
  const successors = blocks.map((block) => block.successors.map((target) => index.get(target) as number));
  const { graph, structure } = analyseReducible({ successors });
  const inLoop = nodesInLoops(graph, structure);
  const { mode, checked } = request;
  return {
    ...{ mode, checked, blocks, graph, structure, inLoop, cell: request.numbers?.cell },
    loadedRegisters: registersLoaded(blocks),
    framePointer: hasFramePointer(blocks),
  };
}

export function createCompiler(options: CompilerOptions): (request: RegionRequest) => RegionReply {
  const { decode, kept, now } = options;
  const { begin = (...args) => new RegionWriter(...args), createModule = (bytes) => new WebAssembly.Module(bytes) } =
    options;
  const helpers = new Map(options.helpers.map((helper) => [helper.name, helper]));
  const helperOf = (name: string): Helper => {
    const helper = helpers.get(name);
    if (helper === undefined) throw new TypeError(`no helper is called ${name}`);
    return helper;
  };
  const signatureOf = (name: string): Signature => (name === SELF ? HANDLER : helperOf(name).signature);

  return (request) => {
    const { id, numbers } = request;
    const times = { building: 0, encoding: 0, WebAssembly: 0 };
    let before = now();
    const spent = (on: keyof typeof times) => {
      const after = now();
      times[on] += after - before;
      before = after;
    };
    const again = kept?.get(request);
    if (again !== undefined) {
      const module = createModule(again.bytes);
      spent('WebAssembly');
      return { id, made: { ...again, module }, again: true, times };
    }
    const common = plan(request, decode);
    const instructions = common.blocks.reduce((sum, block) => sum + block.instructions.length, 0);
    let frame = FRAME_GUESS.fixed + FRAME_GUESS.instruction * instructions;
    // Written once more if its frame turns out larger than was thought.
    while (frame <= FRAME_LIMIT) {
      const writer = begin(signatureOf, helperOf, { ...common, frame });
      writer.write();
      spent('building');
      const { bytes, imports, frameBytes } = encodeModule([{ index: numbers?.place, builder: writer }], signatureOf);
      spent('encoding');
      if (frameBytes <= frame) {
        const module = createModule(bytes);
        spent('WebAssembly');
        const made = { module, imports, bytes, cells: writer.cells };
        kept?.put(request, made);
        return { id, made, times };
      }
      frame = frameBytes;
    }
    return { id, times };
  };
}

/** Compiles in the thread of whoever asks, at once. */
export function compileHere(compile: (request: RegionRequest) => RegionReply): CompilerPort {
  const replies: RegionReply[] = [];
  return { post: (request) => void replies.push(compile(request)), take: () => replies.shift() };
}
