/** Errors on their way between threads. */
import { VirtsError } from '../base/errors.ts';

export interface FailedError {
  readonly kind: VirtsError['kind'];
  readonly message: string;
  readonly stack: string | undefined;
}

export function describeError(error: unknown): FailedError {
  const known = error instanceof VirtsError ? error : undefined;
  const message = known?.message ?? `Virts met a defect of its own: ${error instanceof Error ? error.message : error}`;
  const stack = error instanceof Error ? error.stack : undefined;
  return { kind: known?.kind ?? 'internal', message, stack };
}

export function rebuildError({ kind, message, stack }: FailedError): VirtsError {
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  return new VirtsError(kind, message, {}, cause);
}
