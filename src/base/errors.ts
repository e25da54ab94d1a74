/** Host-side errors: a small set of stable kinds, a sentence for the user, a context and a cause. */

/** Stable kinds; the number is the exit status of the command line (even, from 2 up). */
export const ERROR_KINDS = {
  /** A defect in Virts itself. */
  internal: 2,
  /** A command line or configuration that makes no sense. */
  usage: 4,
  /** A file that is not what it should be: no kernel, truncated, corrupt. */
  'bad-input': 6,
  /** A file, package or machine that is not there. */
  'not-found': 8,
  /** Memory, disk or address space that does not suffice. */
  'no-space': 10,
  /** The host lacks something that was asked for. */
  unsupported: 12,
  /** The network or a mirror did not answer, or answered wrongly. */
  network: 14,
  /** Signature or checksum did not match. */
  untrusted: 16,
  /** The guest cannot go on: it halted for ever or shut itself down by a triple fault. */
  'guest-stopped': 18,
  /** Reading or writing a host file failed. */
  io: 20,
  /** A command in a guest ended with another status than 0; its context has the result. */
  'exit-status': 22,
} as const;

export type ErrorKind = keyof typeof ERROR_KINDS;

/** An error that a user can act on. `message` is one sentence that says what is wrong and what to do. */
export class VirtsError extends Error {
  readonly kind: ErrorKind;
  /** What it concerns: VM, file, offset, operation. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, message: string, context: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'VirtsError';
    this.kind = kind;
    this.context = context;
  }
}

/** What the system's error codes mean to a reader. */
const FILE_REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user has no permission',
  EPERM: 'this user has no permission',
  EROFS: 'its file system is read-only',
  ENOENT: 'its directory does not exist',
  ENOTDIR: 'a part of its path is not a directory',
  EISDIR: 'it is a directory',
};

/** Why a file operation failed, to end a sentence with: a colon and a reason, or the system's code in parentheses. */
export function fileReason(error: unknown): string {
  const { code } = error as { readonly code?: string };
  const reason = FILE_REASONS[code ?? ''];
  return reason === undefined ? ` (${code ?? String(error)})` : `: ${reason}`;
}
