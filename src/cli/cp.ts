/** `virts cp`: copies files between this host and a guest. */
import { once } from 'node:events';
import { fileReason, VirtsError } from '../base/errors.ts';
import { archiveFromGuest, archiveToGuest, type CopyOptions, copyToGuest, copyToHost } from '../sdk/node/copy/copy.ts';
import { parsePlace } from '../sdk/node/copy/place.ts';
import type { ExecEnvironment } from './exec.ts';
import { agentOf } from './machine-socket.ts';

const usage = (sentence: string) => new VirtsError('usage', `${sentence}; 'virts cp --help' says what there is.`);

/** The options in front, and two places. */
function parse(words: readonly string[]): Omit<CopyOptions, 'warn'> & { readonly from: string; readonly to: string } {
  let [owners, follow] = [false, false];
  const rest = [...words];
  while (rest[0]?.startsWith('-') === true && rest[0] !== '-') {
    const word = rest.shift()!;
    if (word === '--') break;
    const letters =
      word === '--archive' ? 'a' : word === '--follow-link' ? 'L' : word.startsWith('--') ? '?' : word.slice(1);
    if (!/^[aL]+$/.test(letters)) throw usage(`There is no option ${word}`);
    owners ||= letters.includes('a');
    follow ||= letters.includes('L');
  }
  const [from, to] = rest;
  if (from === undefined || to === undefined || rest.length > 2) throw usage('Name what to copy, and where to');
  return { owners, follow, from, to };
}

/** Copies. @returns 0. @throws VirtsError. */
export async function cp(words: readonly string[], environment: ExecEnvironment): Promise<number> {
  const { stdin, stdout, stderr, env } = environment;
  const request = parse(words);
  const options: CopyOptions = { ...request, warn: (sentence) => void stderr.write(`virts: ${sentence}\n`) };
  const [from, to] = [parsePlace(request.from), parsePlace(request.to)];
  const machine = from.machine ?? to.machine;
  if (machine === undefined || (from.machine !== undefined && to.machine !== undefined)) {
    throw usage('One of the two places is in a machine, as MACHINE:PATH');
  }
  const dial = agentOf(machine, env, options.warn);
  if (from.machine !== undefined && to.path === '-') {
    await archiveFromGuest(dial, from.path, options, async (bytes) => {
      if (stdout.write(bytes)) return;
      await once(stdout, 'drain').catch((error: unknown) => {
        throw new VirtsError('io', `Standard output cannot be written${fileReason(error)}.`, {}, error);
      });
    });
  } else if (from.machine !== undefined) await copyToHost(dial, from.path, to.path, options);
  else if (from.path === '-') await archiveToGuest(dial, stdin, to.path, options);
  else await copyToGuest(dial, from.path, to.path, options);
  return 0;
}
