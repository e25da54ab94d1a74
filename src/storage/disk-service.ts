/** Serves a disk to the device that a guest reaches it by: requests of an `IoPort` become operations on a `BlockDevice`. */
import { VirtsError } from '../base/errors.ts';
import { BLOCK_OPERATION, BLOCK_RESULT, type DiskShape } from '../devices/block-port.ts';
import type { IoHandler, IoRequest } from '../memory/io-link.ts';
import type { BlockDevice } from './block-device.ts';
import { pause } from './pause.ts';

/** How long a write waits that the host had no room for, before it is tried again, in milliseconds. */
const RETRY_MS = 1000;
/** How long nothing is said of what was said already, in milliseconds: a disk may be full again another day. */
const AGAIN_MS = 600_000;

export interface DiskServiceOptions {
  /** Takes a sentence for the user, each once in ten minutes at most. */
  readonly report: (message: string) => void;
  /** Aborted: what waits for room on the host fails instead. */
  readonly signal: AbortSignal;
  readonly retryMs?: number;
  /** Milliseconds on a clock. */
  readonly now?: () => number;
}

export function shapeOf({ size, readOnly, granularity }: BlockDevice): DiskShape {
  return { size, readOnly, discards: !readOnly, granularity };
}

function perform(disk: BlockDevice, { operation, position, count, spans }: IoRequest): Promise<void> | undefined {
  switch (operation) {
    case BLOCK_OPERATION.read:
      return disk.read(position, spans);
    case BLOCK_OPERATION.write:
      return disk.write(position, spans);
    case BLOCK_OPERATION.writeThrough:
      return disk.write(position, spans).then(disk.flush);
    case BLOCK_OPERATION.flush:
      return disk.flush();
    case BLOCK_OPERATION.discard:
      return disk.discard(position, count);
    case BLOCK_OPERATION.zeroAndUnmap:
    case BLOCK_OPERATION.zeroInPlace:
      return disk.writeZeroes(position, count, operation === BLOCK_OPERATION.zeroAndUnmap);
    default:
      return undefined;
  }
}

/**
 * What to do with each request. When the host's disk is full, the user is told, and the guest's write waits until there is
 * room: a guest that is told of an error loses what it has not written yet. Any other failure is the guest's to handle.
 */
export function diskHandler(disk: BlockDevice, options: DiskServiceOptions): IoHandler {
  const { report, signal, retryMs = RETRY_MS, now = () => performance.now() } = options;
  const reported = new Map<string, number>();
  function tell(message: string): void {
    if (now() < (reported.get(message) ?? Number.NEGATIVE_INFINITY) + AGAIN_MS) return;
    reported.set(message, now());
    report(message);
  }

  async function serve(request: IoRequest): Promise<number> {
    for (let waited = false; ; waited = true) {
      try {
        const work = perform(disk, request);
        if (work === undefined) return BLOCK_RESULT.unsupported;
        await work;
        const warning = request.operation === BLOCK_OPERATION.flush ? disk.warning?.() : undefined;
        if (warning !== undefined) tell(warning);
        return BLOCK_RESULT.ok;
      } catch (error) {
        if (!(error instanceof VirtsError)) throw error;
        const full = error.kind === 'no-space';
        const waits = full && !signal.aborted;
        // That a machine which waited for room has ended is no news.
        if (waits) tell(`${error.message} The guest waits until there is room.`);
        else if (!(full && waited)) tell(error.message);
        if (!waits) return BLOCK_RESULT.failed;
        await pause(retryMs, signal);
      }
    }
  }

  return (request) => {
    serve(request).then(request.answer, (error: unknown) => {
      tell(`Virts met a defect of its own: ${error instanceof Error ? error.message : error}`);
      request.answer(BLOCK_RESULT.failed);
    });
  };
}
