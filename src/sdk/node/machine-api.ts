/** What a program can ask of a machine in Node. */
import type { MachineLife } from '../lifecycle.ts';
import type { MachineFigures } from '../machine-figures.ts';
import type { Command, ExecOptions, ExecResult, GuestProcess, SpawnOptions } from '../program.ts';

/** Ports of this host that lead to a guest, until they are closed or the machine ends. */
export interface Forward {
  /** Address and port of this host at which the first of them is reached. */
  readonly address: string;
  readonly port: number;
  /** All of them: which of this host leads to which of the guest. */
  readonly ports: readonly { readonly address: string; readonly port: number; readonly guestPort: number }[];
  readonly protocol: 'tcp' | 'udp';
  /** Takes no more connections, and ends those that there are. */
  close(): void;
  [Symbol.dispose](): void;
}

export interface ReadyOptions {
  /** Most milliseconds to wait, 300,000 unless told. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MachineCopyOptions {
  /** Keeps owner and group; otherwise files belong to root in the guest, and to this user on this host. */
  readonly owners?: boolean | undefined;
  /** Copies what the source leads to, if it is a symbolic link. */
  readonly follow?: boolean | undefined;
  /** Ends the copy, which then rejects with its reason. What was copied before stays. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A machine in threads of this process. What talks with the guest (`exec`, `spawn`, `copyIn`, `copyOut`) needs its agent, which
 * images made by Virts have, and waits for it as `ready` does while the guest boots. The default guest has none.
 */
export interface Machine extends MachineLife {
  readonly name: string | undefined;
  /**
   * Waits until the guest has booted so far that its agent answers.
   * @throws VirtsError `network` where it does not in time; `unsupported` for the default guest; `guest-stopped`, `usage`.
   */
  ready(options?: ReadyOptions): Promise<void>;
  /**
   * Runs a command in the guest to its end and collects what it writes.
   * @throws VirtsError `exit-status` where it fails, unless `check` is `false`; its context has `exitCode`, `signal`, `stdout`, `stderr`.
   * `not-found` where there is no such program, `io` where it cannot be run, `no-space` where it writes more than `maxOutput`; as `ready`.
   */
  exec(command: Command, options: ExecOptions & { readonly encoding: 'bytes' }): Promise<ExecResult<Uint8Array>>;
  exec(command: Command, options?: ExecOptions): Promise<ExecResult>;
  /** Runs a command in the guest, with its streams. Resolves when it runs. @throws VirtsError as `exec`, but for how it ends. */
  spawn(command: Command, options?: SpawnOptions): Promise<GuestProcess>;
  /**
   * Copies a file or a directory of this host to a path of the guest, by the rules of `cp` in Docker: into a directory that is there
   * under its own name, else as that path; of a source that ends in `/.` only what is in it.
   * @throws VirtsError `not-found`, `io`, `no-space`; as `ready`.
   */
  copyIn(from: string, to: string, options?: MachineCopyOptions): Promise<void>;
  /**
   * Copies a file or a directory of the guest to a path of this host, by the same rules. Whatever the guest sends, nothing of it gets
   * outside that path.
   * @throws VirtsError `not-found`, `io`, `no-space`, `bad-input`; as `ready`.
   */
  copyOut(from: string, to: string, options?: MachineCopyOptions): Promise<void>;
  /**
   * Forwards a port of this host to one of the guest, as `network.publish` does at the start: `80` takes a free port of 127.0.0.1.
   * @throws VirtsError `io` where the port is taken; `usage` for what is no port, and where the machine does not run or has no network.
   */
  forward(ports: string | number): Promise<Forward>;
  /** What is forwarded at present, that of `network.publish` first; nothing while it does not run. */
  readonly forwards: readonly Forward[];
  /** What it has used so far. @throws VirtsError `usage` where it does not run. */
  figures(): Promise<MachineFigures>;
}
