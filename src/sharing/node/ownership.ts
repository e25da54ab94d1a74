/**
 * Owners and modes as a guest sees them. All that is in a shared folder belongs to the user who runs the machine, and stays
 * theirs whatever the guest does; but a guest has users of its own. So
 *
 * - what is that user's is shown as root's, and what is others' as nobody's; where root runs the machine, numbers are shown as they are;
 * - what a guest sets beyond that is a note in an extended attribute of the file: its owner, and mode bits that the host is not to
 *   have (set-user-ID and set-group-ID above all), or that the host needs (its owner's own).
 *
 * A note holds as long as the host's mode is the one that it was written for: whoever changes that on the host means it.
 */
import { ERRNO, MODE, refuse } from '../folder.ts';
import { type Calls, cString, lastError, pathOf } from './calls.ts';
import type { Status } from './status.ts';

const NAME = cString('user.virts.attributes');
/** Longest note: two numbers of 10 digits, two modes, spaces. */
const LONGEST = 40;
/** Whom files of other users of the host seem to belong to. */
const NOBODY = 65534;

/** Bits of a mode that the host gets. Owners keep what they need to reach the file for the guest. */
const HOST_BITS = 0o777;
const hostMode = (mode: number, isDirectory: boolean) => (mode & HOST_BITS) | (isDirectory ? 0o700 : 0o600);

export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** `MODE.permissions`. */
  readonly mode: number;
}

interface Note extends Ownership {
  readonly hostMode: number;
}

/** What is known of a file's note, and when that was. */
export interface NoteCache {
  note: Note | undefined;
  /** The file's ctime then, which any change of the note moves. */
  seconds: bigint;
  nanoseconds: number;
}

export const emptyNoteCache = (): NoteCache => ({ note: undefined, seconds: -1n, nanoseconds: -1 });

/** Only regular files and directories can have such attributes. */
const canHaveNote = ({ mode }: Status) => (mode & MODE.type) === MODE.file || (mode & MODE.type) === MODE.directory;

function parseNote(text: string): Note | undefined {
  const match = /^(\d{1,10}) (\d{1,10}) ([0-7]{1,4}) ([0-7]{1,4})$/.exec(text);
  if (match === null) return undefined;
  const [, uid, gid, mode, host] = match;
  const note = {
    uid: Number(uid),
    gid: Number(gid),
    mode: Number.parseInt(mode!, 8),
    hostMode: Number.parseInt(host!, 8),
  };
  return note.uid < 2 ** 32 && note.gid < 2 ** 32 ? note : undefined;
}

export interface OwnershipRules {
  /** As the guest is to see it. `file`: a descriptor, opened or just held. */
  of(file: number, status: Status, cache: NoteCache): Ownership;
  /** Makes the guest see it so. @throws Refusal `EPERM` where the host's file system cannot keep it. */
  set(file: number, status: Status, cache: NoteCache, wanted: Ownership): void;
}

/** `user` and `group` are the numbers of whom the process acts for. */
export function ownershipRules(calls: Calls, user: number, group: number): OwnershipRules {
  const shown = (id: number, own: number) => (user === 0 ? id : id === own ? 0 : NOBODY);
  const buffer = new Uint8Array(LONGEST);

  function read(file: number): Note | undefined {
    const length = Number(calls.getxattr(pathOf(file), NAME, buffer, LONGEST));
    return length <= 0 ? undefined : parseNote(new TextDecoder('latin1').decode(buffer.subarray(0, length)));
  }

  function noteOf(file: number, status: Status, cache: NoteCache): Note | undefined {
    const { ctime } = status;
    if (!canHaveNote(status)) return undefined;
    if (cache.seconds === ctime.seconds && cache.nanoseconds === ctime.nanoseconds) return cache.note;
    cache.note = read(file);
    cache.seconds = ctime.seconds;
    cache.nanoseconds = ctime.nanoseconds;
    return cache.note;
  }

  function plain({ uid, gid, mode }: Status): Ownership {
    return { uid: shown(uid, user), gid: shown(gid, group), mode: mode & MODE.permissions };
  }

  /** Whether the note could be written. */
  function write(file: number, { uid, gid, mode, hostMode: host }: Note): boolean {
    const text = cString(`${uid} ${gid} ${mode.toString(8)} ${host.toString(8)}`);
    return Number(calls.setxattr(pathOf(file), NAME, text, text.length - 1, 0)) === 0;
  }

  function changeMode(file: number, status: Status, mode: number): void {
    if ((status.mode & MODE.permissions) === mode) return;
    if (Number(calls.chmod(pathOf(file), mode)) !== 0) refuse(lastError());
  }

  return {
    of(file, status, cache) {
      const note = noteOf(file, status, cache);
      if (note === undefined) return plain(status);
      const isValid = note.hostMode === (status.mode & HOST_BITS);
      return { uid: note.uid, gid: note.gid, mode: isValid ? note.mode : status.mode & MODE.permissions };
    },
    set(file, status, cache, wanted) {
      if ((status.mode & MODE.type) === MODE.link) return;
      if (!canHaveNote(status)) {
        changeMode(file, status, wanted.mode & HOST_BITS);
        return;
      }
      const before = noteOf(file, status, cache);
      const host = hostMode(wanted.mode, (status.mode & MODE.type) === MODE.directory);
      const { uid, gid } = plain(status);
      const ownersFit = wanted.uid === uid && wanted.gid === gid;
      cache.seconds = -1n;
      if (ownersFit && wanted.mode === host) {
        if (before !== undefined) calls.removexattr(pathOf(file), NAME);
        changeMode(file, status, host);
        return;
      }
      if (write(file, { ...wanted, hostMode: host })) {
        changeMode(file, status, host);
        return;
      }
      // Without notes the host can keep a mode at least.
      if (!ownersFit || (wanted.mode & ~HOST_BITS) !== 0) refuse(ERRNO.EPERM);
      changeMode(file, status, wanted.mode);
    },
  };
}
