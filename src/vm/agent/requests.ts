/** What the host asks the guest's agent beside running programs. */

import { VirtsError } from '../../base/errors.ts';
import { FRAME, malformed, toBytes, toText, u32 } from './protocol.ts';
import { type DialAgent, openSession } from './session.ts';

/** One question and its answer. */
function ask(dial: DialAgent, type: number, payload: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const session = openSession(dial, {
      frame(answer) {
        if (answer.type !== FRAME.answer) throw malformed(`a frame of type ${answer.type} that was not to come`);
        session.close();
        resolve(answer.payload);
      },
      failed: reject,
    });
    session.send(type, payload);
  });
}

/** Resolves when the agent answers. Rejects with VirtsError `network` where there is none yet, or none at all. */
export async function pingAgent(dial: DialAgent): Promise<void> {
  await ask(dial, FRAME.ping, new Uint8Array(0));
}

/** Has the guest shut down and switch itself off, or start again; resolves when it has begun to. */
export async function shutDownGuest(dial: DialAgent, how: 'poweroff' | 'reboot' = 'poweroff'): Promise<void> {
  await ask(dial, FRAME.shutdown, toBytes(how));
}

/** A file of the guest. */
export interface GuestFileStatus {
  /** Type and permissions (inode(7)): of what the path names, and, if that is a link, of what it leads to. */
  readonly mode: number;
  readonly targetMode: number;
  readonly user: number;
  readonly group: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly modified: number;
  /** Where it leads if it is a symbolic link. */
  readonly target: string;
}

const STATUS_BYTES = 32;

/** What is at a path of the guest; `undefined` if nothing is. */
export async function fileStatus(dial: DialAgent, path: string): Promise<GuestFileStatus | undefined> {
  if (path.includes('\0')) throw new VirtsError('usage', 'A path cannot have a zero byte.');
  try {
    const bytes = await ask(dial, FRAME.stat, toBytes(path));
    if (bytes.length < STATUS_BYTES) throw malformed('an answer that is too short');
    const [mode, targetMode, user, group] = [0, 4, 8, 12].map((at) => u32(bytes, at));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return {
      ...{ mode: mode!, targetMode: targetMode!, user: user!, group: group! },
      size: Number(view.getBigUint64(16)),
      modified: Number(view.getBigInt64(24)),
      target: toText(bytes.subarray(STATUS_BYTES)),
    };
  } catch (error) {
    if (error instanceof VirtsError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
