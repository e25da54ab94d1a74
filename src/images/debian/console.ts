/** What the machine that builds an image tells on its console, as progress. */
import { MARK } from './build-script.ts';

export type BuildPhase = 'format' | 'bootstrap' | 'install' | 'configure' | 'finish';

export interface BuildEvents {
  /** A phase begins. */
  phase(name: BuildPhase): void;
  /** One more package was unpacked, or one more is installed. */
  unpacked(name: string): void;
  installed(name: string): void;
}

export interface BuildConsole {
  /** Takes what the guest wrote. */
  write(bytes: Uint8Array): void;
  /** Whether the guest said that all is well. */
  readonly done: boolean;
  /** What the guest said went wrong, as in "failed to ...". */
  readonly failure: string | undefined;
  /** The last lines that are not progress, oldest first. */
  readonly lastLines: readonly string[];
}

/** How many lines are kept for a report. */
const KEPT_LINES = 8;
/** A line that is longer is cut: the guest may write anything. */
const MAX_LINE = 4096;

const PHASES: readonly string[] = ['format', 'bootstrap', 'install', 'configure', 'finish'] satisfies BuildPhase[];

/** Reads a console. Each package is counted once a state, however often dpkg tells of it. */
export function createBuildConsole(events: BuildEvents): BuildConsole {
  const decoder = new TextDecoder();
  const told = new Set<string>();
  let line = '';
  let done = false;
  let failure: string | undefined;
  const lastLines: string[] = [];

  function once(key: string, tell: () => void): void {
    if (told.has(key)) return;
    told.add(key);
    tell();
  }

  function take(text: string): void {
    const [, word, rest = ''] = new RegExp(`^${MARK} (\\w+) ?(.*)$`).exec(text) ?? [];
    const [, name = '', state] = /^status: (\S+?)(?::\w+)?: (unpacked|installed)$/.exec(text) ?? [];
    if (word === 'step' && PHASES.includes(rest)) events.phase(rest as BuildPhase);
    else if (word === 'done') done = true;
    else if (word === 'failed') failure ??= rest;
    else if (state === 'unpacked') once(`${state} ${name}`, () => events.unpacked(name));
    else if (state === 'installed') once(`${state} ${name}`, () => events.installed(name));
    else if (word === undefined && text !== '' && !/^(status|processing): /.test(text)) {
      lastLines.push(text);
      if (lastLines.length > KEPT_LINES) lastLines.shift();
    }
  }

  return {
    write(bytes) {
      const lines = (line + decoder.decode(bytes, { stream: true })).split('\n');
      line = lines.pop()!.slice(-MAX_LINE);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not reach the user's terminal.
      for (const text of lines) take(text.replaceAll(/[\x00-\x1f\x7f]/g, '').slice(0, MAX_LINE));
    },
    get done() {
      return done;
    },
    get failure() {
      return failure;
    },
    lastLines,
  };
}
