/** The words of `virts exec`: options, a machine, and a command whose own options are its own. */
import { VirtsError } from '../base/errors.ts';

export interface ExecOptions {
  readonly interactive: boolean;
  readonly terminal: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly directory?: string;
  readonly user?: string;
  readonly machine: string;
  readonly command: readonly string[];
}

/** Options for help texts: the letters and names, and what they do. */
export const EXEC_OPTIONS = [
  ['-i, --interactive', 'give the command what comes on standard input'],
  ['-t, --tty', 'give the command a terminal'],
  [
    '-e, --env <NAME=VALUE>',
    'set a variable of its environment, or pass on the one of that name; may be given several times',
  ],
  ['-w, --workdir <dir>', "start it in that directory; the user's home unless told"],
  ['-u, --user <user[:group]>', 'run it as that user of the guest, a name or a number; root unless told'],
] as const;

/** Names by letter, and whether a value follows. */
const LETTERS: Readonly<Record<string, string>> = { i: 'interactive', t: 'tty', e: 'env', w: 'workdir', u: 'user' };
const WITH_VALUE: ReadonlySet<string> = new Set(['env', 'workdir', 'user']);

const usage = (sentence: string) => new VirtsError('usage', `${sentence}; 'virts exec --help' says what there is.`);

/** Reads the options at the front of `words`; `take` gets each with its value. Returns the words that follow. */
function readOptions(words: readonly string[], take: (name: string, value: string) => void): readonly string[] {
  const rest = [...words];
  const valueFor = (option: string, given: string | undefined): string => {
    const value = given ?? rest.shift();
    if (value === undefined) throw usage(`Option ${option} takes a value`);
    return value;
  };
  while (rest[0]?.startsWith('-') === true && rest[0] !== '-') {
    const word = rest.shift()!;
    if (word === '--') break;
    if (word.startsWith('--')) {
      const [, name, value] = /^--([a-z]+)(?:=(.*))?$/s.exec(word) ?? [];
      if (name === undefined || !Object.values(LETTERS).includes(name)) throw usage(`There is no option ${word}`);
      if (!WITH_VALUE.has(name) && value !== undefined) throw usage(`Option --${name} takes no value`);
      take(name, WITH_VALUE.has(name) ? valueFor(word, value) : '');
      continue;
    }
    for (let at = 1; at < word.length; at++) {
      const name = LETTERS[word[at]!];
      if (name === undefined) throw usage(`There is no option -${word[at]}`);
      if (WITH_VALUE.has(name)) {
        take(name, valueFor(`-${word[at]}`, at + 1 < word.length ? word.slice(at + 1).replace(/^=/, '') : undefined));
        break;
      }
      take(name, '');
    }
  }
  return rest;
}

/** Reads `[options] MACHINE COMMAND [ARG...]`. @throws VirtsError `usage`. */
export function parseExec(words: readonly string[], env: NodeJS.ProcessEnv): ExecOptions {
  const flags = { interactive: false, terminal: false };
  const environment: Record<string, string> = {};
  const values: { directory?: string; user?: string } = {};
  const [machine, ...command] = readOptions(words, (name, value) => {
    if (name === 'interactive') flags.interactive = true;
    else if (name === 'tty') flags.terminal = true;
    else if (name === 'workdir') values.directory = value;
    else if (name === 'user') values.user = value;
    else {
      const at = value.indexOf('=');
      const variable = at < 0 ? value : value.slice(0, at);
      const content = at < 0 ? env[value] : value.slice(at + 1);
      if (variable === '') throw usage(`'${value}' is no variable`);
      if (content !== undefined) environment[variable] = content;
    }
  });
  if (machine === undefined || command.length === 0) throw usage('Name a machine and a command to run in it');
  return { ...flags, ...values, environment, machine, command };
}
