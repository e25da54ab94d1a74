/** Commands behind GDB's `monitor`: what the remote protocol has no packet for. */
import { readFlags } from '../../cpu/flags.ts';
import { SEGMENT, type VcpuState } from '../../isa/state.ts';
import { parseAddress } from './hex.ts';
import type { DebugTarget, DebugVcpu } from './target.ts';

/** What the commands work on. */
export interface MonitorContext {
  readonly target: DebugTarget;
  /** The vCPU that the debugger has selected. */
  readonly vcpu: DebugVcpu;
  /** Whether steps deliver interrupts. */
  stepInterrupts: boolean;
  /** Ends the machine once the answer is on its way. */
  quit(): void;
}

interface Command {
  readonly usage: string;
  readonly help: string;
  readonly pattern: RegExp;
  run(context: MonitorContext, match: RegExpExecArray): string | Promise<string>;
}

const hex = (value: bigint | number, digits = 16) => value.toString(16).padStart(digits, '0');

const ACTIVITY = ['running', 'halted', 'waiting for a start-up IPI', 'shut down'];

/** What a vCPU is doing, in a few words. */
export function activityText(state: VcpuState): string {
  return ACTIVITY[state.activity] ?? 'unknown';
}

function segmentLine(state: VcpuState, name: keyof typeof SEGMENT): string {
  const index = SEGMENT[name];
  const selector = hex(state.segmentSelector[index]!, 4);
  const base = hex(state.segmentBase[index]!);
  const limit = hex(state.segmentLimit[index]!, 8);
  return `${name.padEnd(4)} ${selector}  base ${base}  limit ${limit}  attributes ${hex(state.segmentAttributes[index]!, 5)}`;
}

/** System registers of one vCPU as lines of text; numbers are hexadecimal. */
export function systemRegisters(state: VcpuState): string {
  const lines = [
    `cr0 ${hex(state.cr0)}  cr2 ${hex(state.cr2)}  cr3 ${hex(state.cr3)}  cr4 ${hex(state.cr4)}`,
    `efer ${hex(state.efer)}  xcr0 ${hex(state.xcr0)}  rflags ${hex(readFlags(state), 8)}  cpl ${state.cpl}`,
    ...(Object.keys(SEGMENT) as (keyof typeof SEGMENT)[]).map((name) => segmentLine(state, name)),
    `gdtr base ${hex(state.gdtrBase)}  limit ${hex(state.gdtrLimit, 4)}`,
    `idtr base ${hex(state.idtrBase)}  limit ${hex(state.idtrLimit, 4)}`,
    `dr0 ${hex(state.dr[0]!)}  dr1 ${hex(state.dr[1]!)}  dr2 ${hex(state.dr[2]!)}  dr3 ${hex(state.dr[3]!)}`,
    `dr6 ${hex(state.dr[6]!)}  dr7 ${hex(state.dr[7]!)}`,
    `star ${hex(state.star)}  lstar ${hex(state.lstar)}  cstar ${hex(state.cstar)}  sfmask ${hex(state.sfmask)}`,
    `sysenter cs ${hex(state.sysenterCs, 4)}  esp ${hex(state.sysenterEsp)}  eip ${hex(state.sysenterEip)}`,
    `fs_base ${hex(state.segmentBase[SEGMENT.fs]!)}  gs_base ${hex(state.segmentBase[SEGMENT.gs]!)}  k_gs_base ${hex(state.kernelGsBase)}`,
    `activity ${activityText(state)}  interrupt shadow ${state.interruptShadow}  nmi blocked ${state.nmiBlocked}`,
    `instructions ${state.instructions}`,
  ];
  return `${lines.join('\n')}\n`;
}

const COMMANDS: readonly Command[] = [
  {
    usage: 'help',
    help: 'list the commands',
    pattern: /^help$/,
    run: () => COMMANDS.map(({ usage, help }) => `${usage.padEnd(28)} ${help}\n`).join(''),
  },
  {
    usage: 'info registers',
    help: 'system registers of the selected vCPU',
    pattern: /^info (?:registers|reg|r)$/,
    run: ({ vcpu }) => systemRegisters(vcpu.state),
  },
  {
    usage: 'translate ADDRESS',
    help: 'guest-physical address of a linear one (hexadecimal)',
    pattern: /^translate (?:0x)?([0-9a-f]{1,16})$/i,
    run({ vcpu }, match) {
      const physical = vcpu.translate(parseAddress(match[1])!);
      return physical === undefined ? 'not mapped\n' : `0x${hex(physical)}\n`;
    },
  },
  {
    usage: 'step-interrupts on|off',
    help: 'whether single steps deliver interrupts; off at first',
    pattern: /^step-interrupts (on|off)$/,
    run(context, match) {
      context.stepInterrupts = match[1] === 'on';
      return '';
    },
  },
  {
    usage: 'reset',
    help: 'reset the machine',
    pattern: /^(?:system_)?reset$/,
    async run({ target }) {
      await target.reset();
      return "The machine was reset; 'maintenance flush register-cache' makes GDB read the registers anew.\n";
    },
  },
  {
    usage: 'quit',
    help: 'end the machine',
    pattern: /^quit$/,
    run({ quit }) {
      quit();
      return '';
    },
  },
];

/** Runs a command and returns what it says, which may be nothing. */
export function monitor(context: MonitorContext, line: string): string | Promise<string> {
  const text = line.trim().replace(/\s+/g, ' ');
  for (const command of COMMANDS) {
    const match = command.pattern.exec(text);
    if (match !== null) return command.run(context, match);
  }
  return `Unknown command; 'monitor help' lists those there are.\n`;
}
