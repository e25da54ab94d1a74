/** Packets that ask or change something while the guest stands still; each handler returns its reply. */
import type { BreakpointTable } from './breakpoint-table.ts';
import { fromHex, parseAddress, parseNumber, textToHex, toHex } from './hex.ts';
import { activityText, monitor } from './monitor.ts';
import { PACKET_SIZE } from './packet.ts';
import { type Register, readRegister, writeRegister, writeRegisters } from './registers.ts';
import { parseThread } from './resume.ts';
import { threadId } from './stop-reply.ts';
import type { DebugTarget, DebugVcpu } from './target.ts';

/** What a debugger's connection keeps between packets. */
export interface CommandContext {
  readonly target: DebugTarget;
  readonly registers: readonly Register[];
  /** The document `target.xml`. */
  readonly description: string;
  readonly breakpoints: BreakpointTable;
  /** The vCPU that registers and memory are of, and the one that `s` without a thread steps. */
  vcpu: DebugVcpu;
  stepVcpu: DebugVcpu;
  stepInterrupts: boolean;
  /** Kinds of breakpoint whose name in a stop reply the debugger understands. */
  readonly knows: { software: boolean; hardware: boolean };
  /** Sends a packet ahead of the reply. */
  send(data: string): void;
  /** Ends the machine once the reply is on its way. */
  quit(): void;
}

/** Reply to a packet that is not known. */
export const UNKNOWN = '';
const OK = 'OK';
/** Errors are numbers without agreed meaning; these are the host's usual EFAULT, EINVAL, ESRCH and EIO. */
export const ERROR = { fault: 'E0e', invalid: 'E16', thread: 'E03', failed: 'E05' } as const;

type Handler = (context: CommandContext, data: string) => string | Promise<string>;

const bytesOf = (data: string) => Uint8Array.from(data, (character) => character.charCodeAt(0));

function readMemory({ vcpu }: CommandContext, data: string): string {
  const [addressText, lengthText] = data.slice(1).split(',');
  const address = parseAddress(addressText);
  const length = parseNumber(lengthText);
  if (address === undefined || length === undefined) return ERROR.invalid;
  const bytes = vcpu.readMemory(address, Math.min(length, PACKET_SIZE / 2));
  return bytes.length === 0 ? ERROR.fault : toHex(bytes);
}

function writeMemory({ vcpu }: CommandContext, data: string): string {
  const [head, ...rest] = data.slice(1).split(':') as [string, ...string[]];
  const [addressText, lengthText] = head.split(',');
  const content = rest.join(':');
  const address = parseAddress(addressText);
  const length = parseNumber(lengthText);
  const bytes = data[0] === 'X' ? bytesOf(content) : fromHex(content);
  if (address === undefined || bytes === undefined || bytes.length !== length) return ERROR.invalid;
  // GDB asks with no bytes at all whether binary writes are known.
  return length === 0 || vcpu.writeMemory(address, bytes) ? OK : ERROR.fault;
}

function writeAll({ vcpu, registers }: CommandContext, data: string): string {
  const bytes = fromHex(data.slice(1));
  if (bytes === undefined) return ERROR.invalid;
  const taken = writeRegisters(registers, vcpu.state, bytes);
  vcpu.registersChanged();
  return taken ? OK : ERROR.invalid;
}

function readOne({ vcpu, registers }: CommandContext, data: string): string {
  const register = registers[parseNumber(data.slice(1)) ?? -1];
  return register === undefined ? ERROR.invalid : readRegister(register, vcpu.state);
}

function writeOne({ vcpu, registers }: CommandContext, data: string): string {
  const [number, value] = data.slice(1).split('=');
  const register = registers[parseNumber(number) ?? -1];
  const bytes = fromHex(value ?? '');
  if (register === undefined || bytes === undefined) return ERROR.invalid;
  const taken = writeRegister(register, vcpu.state, bytes);
  vcpu.registersChanged();
  return taken ? OK : ERROR.invalid;
}

/** The vCPU of a thread id; any of them for 0 and -1. */
function vcpuOf({ target, vcpu }: CommandContext, text: string): DebugVcpu | undefined {
  const thread = parseThread(text);
  if (thread === undefined) return undefined;
  return thread <= 0 ? vcpu : target.vcpus[thread - 1];
}

function selectThread(context: CommandContext, data: string): string {
  const vcpu = vcpuOf(context, data.slice(2));
  if (vcpu === undefined) return ERROR.thread;
  if (data[1] === 'g') context.vcpu = vcpu;
  else if (data[1] === 'c') context.stepVcpu = vcpu;
  else return ERROR.invalid;
  return OK;
}

const setPoint: Handler = ({ breakpoints }, data) => {
  const done = breakpoints.packet(data);
  if (done === undefined) return UNKNOWN;
  return done ? OK : ERROR.invalid;
};

/** Packets named by their first letter. */
const LETTERS: Readonly<Record<string, Handler>> = {
  g: ({ vcpu, registers }) => registers.map((register) => readRegister(register, vcpu.state)).join(''),
  G: writeAll,
  p: readOne,
  P: writeOne,
  m: readMemory,
  M: writeMemory,
  X: writeMemory,
  H: selectThread,
  T: (context, data) => (vcpuOf(context, data.slice(1)) === undefined ? ERROR.thread : OK),
  z: setPoint,
  Z: setPoint,
};

function supported({ knows }: CommandContext, data: string): string {
  const features = data.slice('qSupported:'.length).split(';');
  knows.software = features.includes('swbreak+');
  knows.hardware = features.includes('hwbreak+');
  return [
    `PacketSize=${PACKET_SIZE.toString(16)}`,
    'QStartNoAckMode+',
    'qXfer:features:read+',
    'vContSupported+',
    'swbreak+',
    'hwbreak+',
  ].join(';');
}

function readDescription({ description }: CommandContext, data: string): string {
  const match = /^qXfer:features:read:([^:]*):([0-9a-f]{1,8}),([0-9a-f]{1,8})$/i.exec(data);
  if (match === null) return UNKNOWN;
  if (match[1] !== 'target.xml') return 'E00';
  const offset = Number.parseInt(match[2]!, 16);
  // Escapes take room too.
  const length = Math.min(Number.parseInt(match[3]!, 16), PACKET_SIZE / 2);
  const part = description.slice(offset, offset + length);
  return (offset + length < description.length ? 'm' : 'l') + part;
}

async function runMonitor(context: CommandContext, data: string): Promise<string> {
  const bytes = fromHex(data.slice('qRcmd,'.length));
  if (bytes === undefined) return ERROR.invalid;
  const text = textToHex(await monitor(context, new TextDecoder().decode(bytes)));
  for (let at = 0; at < text.length; at += PACKET_SIZE / 2) context.send(`O${text.slice(at, at + PACKET_SIZE / 2)}`);
  return OK;
}

function threadInfo({ target }: CommandContext, data: string): string {
  const vcpu = target.vcpus[(parseNumber(data.slice('qThreadExtraInfo,'.length)) ?? 0) - 1];
  if (vcpu === undefined) return ERROR.thread;
  return textToHex(`vCPU ${target.vcpus.indexOf(vcpu)} (${activityText(vcpu.state)})`);
}

/** Packets named by a word, up to the first `:`, `,` or `;`. */
const WORDS: Readonly<Record<string, Handler>> = {
  qSupported: supported,
  qXfer: readDescription,
  qRcmd: runMonitor,
  qfThreadInfo: ({ target }) => `m${target.vcpus.map((vcpu) => threadId(target, vcpu)).join(',')}`,
  qsThreadInfo: () => 'l',
  qThreadExtraInfo: threadInfo,
  qC: ({ target, vcpu }) => `QC${threadId(target, vcpu)}`,
  // The machine was there before the debugger: at its end, GDB detaches instead of killing it.
  qAttached: () => '1',
  // Symbols are at the addresses that they say.
  qOffsets: () => 'Text=0;Data=0;Bss=0',
  'vCont?': () => 'vCont;c;C;s;S;r',
};

/** Carries out a packet that is neither acknowledgement nor resumption; `UNKNOWN` for one that does not exist. */
export function execute(context: CommandContext, data: string): string | Promise<string> {
  const word = /^[qQv]/.test(data) ? /^[^:,;]*/.exec(data)![0] : '';
  const handler = word === '' ? LETTERS[data[0] ?? ''] : Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
  return handler?.(context, data) ?? UNKNOWN;
}
