/** The exit status of a run that the guest ended. */
import { ERROR_KINDS } from '../../base/errors.ts';
import type { EndReason } from '../machine-host.ts';

/** From 0 to 255; of a debug exit's (V << 1) | 1, the low byte, as any process would give. */
export function exitStatus(end: { readonly reason: EndReason; readonly status?: number }): number {
  if (end.reason === 'debug-exit') return (end.status ?? 0) & 0xff;
  return end.reason === 'halted' ? ERROR_KINDS['guest-stopped'] : 0;
}
