/** A terminal whose keys all go to the guest. */
import type { Environment } from './environment.ts';

/** Sets raw mode, and again when the process continues after it was suspended from outside. */
export function holdRaw({ stdin, signals }: Pick<Environment, 'stdin' | 'signals'>): () => void {
  if (stdin.isTTY !== true || stdin.setRawMode === undefined) return () => {};
  const raw = (): void => void stdin.setRawMode!(true);
  const cooked = (): void => void stdin.setRawMode!(false);
  raw();
  signals.on('SIGCONT', raw);
  // Whatever ends the process, an exception included, passes here.
  signals.on('exit', cooked);
  return () => {
    cooked();
    signals.off('SIGCONT', raw);
    signals.off('exit', cooked);
  };
}
