/**
 * The comment at the head of a test program, which says how it runs and what it must lead to:
 *
 *     ; What this is about.
 *     ;
 *     ; mode: long64
 *     ; steps: 3
 *     ; expect:
 *     ;   1: #GP(0010)
 *     ;   3: = 000000000000002a
 *     ;   rax = 2a
 *     ; bochs:
 *     ;   1: #GP(0000)
 *
 * A line `step: event` is an entry of the log (see log.ts); all entries are listed, in order. `register = value` holds at
 * the end. All numbers are hexadecimal but those of steps. The section `bochs` lists the steps at which that oracle
 * differs from the manual; a sentence in the program says why.
 */

export const START_MODES = ['real', 'protected16', 'protected32', 'long64'] as const;
export type StartMode = (typeof START_MODES)[number];

/** How a program ends: by the debug-exit port, by HLT with interrupts off, by a triple fault. */
export const ENDS = ['exit', 'halt', 'triple-fault'] as const;
export type End = (typeof ENDS)[number];

export interface Header {
  readonly mode: StartMode;
  /** The last step that is begun. */
  readonly steps: number;
  readonly end: End;
  /** Lines of the log. */
  readonly log: readonly string[];
  readonly registers: Readonly<Record<string, bigint>>;
  /** Lines of the log that take the place of all lines of the same steps on Bochs. `step: none` is no event. */
  readonly bochs: readonly string[];
}

const REGISTER = /^(r[a-z0-9]{1,2}) = ([0-9a-f]+)$/;
const EVENT = /^\d+: \S/;

interface Draft {
  fields: Map<string, string>;
  lists: Map<string, string[]>;
}

function readComment(source: string): Draft {
  const draft: Draft = { fields: new Map(), lists: new Map() };
  let list: string[] | undefined;
  for (const line of source.split('\n')) {
    if (!line.startsWith(';')) break;
    const field = /^; (mode|steps|end|expect|bochs):(?: (.*))?$/.exec(line);
    if (field !== null) {
      list = undefined;
      if (field[2] !== undefined) draft.fields.set(field[1], field[2].trim());
      else {
        list = [];
        draft.lists.set(field[1], list);
      }
    } else if (list !== undefined) {
      const item = /^; {3}(\S.*)$/.exec(line);
      if (item === null) list = undefined;
      else list.push(item[1].trim());
    }
  }
  return draft;
}

function oneOf<T extends string>(values: readonly T[], value: string | undefined, what: string): T {
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw new Error(`The header must give ${what}: ${values.join(', ')}.`);
  return found;
}

/** @throws Error for a header that is incomplete or has lines that nothing would check. */
export function parseHeader(source: string): Header {
  const { fields, lists } = readComment(source);
  const log: string[] = [];
  const registers: Record<string, bigint> = {};
  for (const line of lists.get('expect') ?? []) {
    const register = REGISTER.exec(line);
    if (EVENT.test(line)) log.push(line);
    else if (register !== null) registers[register[1]] = BigInt(`0x${register[2]}`);
    else throw new Error(`The header expects something unknown: ${line}`);
  }
  const bochs = lists.get('bochs') ?? [];
  for (const line of bochs)
    if (!EVENT.test(line)) throw new Error(`The section for Bochs has an unknown line: ${line}`);
  const steps = Number(fields.get('steps'));
  if (!Number.isInteger(steps)) throw new Error('The header must give the number of steps.');
  return {
    mode: oneOf(START_MODES, fields.get('mode'), 'the start mode'),
    steps,
    end: oneOf(ENDS, fields.get('end') ?? 'exit', 'the end'),
    log,
    registers,
    bochs,
  };
}

const stepOf = (line: string) => line.slice(0, line.indexOf(':'));

/** The log that a run on Bochs leads to. */
export function bochsLog({ log, bochs }: Header): string[] {
  const different = new Set(bochs.map(stepOf));
  const lines = [...log.filter((line) => !different.has(stepOf(line))), ...bochs.filter((l) => !l.endsWith(': none'))];
  // Sorting is stable: the events of one step keep their order.
  return lines.sort((a, b) => Number(stepOf(a)) - Number(stepOf(b)));
}
