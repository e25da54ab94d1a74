/** What a user is told of an error, and the exit status that it has. */
import type { CommanderError } from 'commander';
import { ERROR_KINDS, VirtsError } from '../base/errors.ts';
import type { Environment } from './environment.ts';
import { Interrupted } from './interrupt.ts';

/** Told by its shape: the parser of command lines is not loaded for it. */
function isCommanderError(error: unknown): error is CommanderError {
  return error instanceof Error && /^commander\./.test((error as { readonly code?: string }).code ?? '');
}

/** Commander's message as one sentence that says where to read on. */
function usageSentence(message: string): string {
  const text = message
    .replace(/^error: /, '')
    .replace(/\n+/g, ' ')
    .replace(/ is invalid\. It /, ' is wrong: it ')
    .replace(/ is invalid\. Allowed choices are /, ' is wrong: it must be one of ')
    .replace(/^too many arguments for '(run|debug)'.*/, "'$1' takes only options; a kernel is named by --kernel FILE")
    .replace(/^too many arguments for ('\w+').*/, '$1 takes only options')
    .replace(/\. (?=\S)/g, ': ')
    .replace(/\.?$/, '');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}; 'virts help' and 'virts run --help' say what there is.`;
}

/** Reports an error as one sentence and returns its exit status. A stack trace appears only with VIRTS_DEBUG=1. */
export function reportError(error: unknown, { stderr, env }: Pick<Environment, 'stderr' | 'env'>): number {
  const trace = env.VIRTS_DEBUG === '1' && error instanceof Error ? `${error.stack}\n` : '';
  if (error instanceof Interrupted) return error.status;
  if (isCommanderError(error)) {
    // Help and version end by an exception too; so does a call without a command, which shows the help.
    if (error.exitCode === 0) return 0;
    if (error.code !== 'commander.help') stderr.write(`virts: ${usageSentence(error.message)}\n${trace}`);
    return ERROR_KINDS.usage;
  }
  if (error instanceof VirtsError) {
    stderr.write(`virts: ${error.message}\n${trace}`);
    return ERROR_KINDS[error.kind];
  }
  const message = error instanceof Error ? error.message : String(error);
  const hint = trace === '' ? ' VIRTS_DEBUG=1 shows where.' : '';
  stderr.write(`virts: Internal error, a defect in Virts: ${message.replace(/\s*\n\s*/g, ' ')}.${hint}\n${trace}`);
  return ERROR_KINDS.internal;
}

/** Has errors that nothing else took reported, and end the process. */
export function reportUncaught(): void {
  const fail = (error: unknown): never => process.exit(reportError(error, process));
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
}
