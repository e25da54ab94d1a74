/** What a machine has used so far. */
export interface MachineFigures {
  /** Microseconds of processor time that the process with the machine took since its start, all that it does included. */
  readonly cpu: number;
  /** Milliseconds on a clock of that process, for the difference of two figures. */
  readonly at: number;
  /** Number of vCPUs. */
  readonly vcpus: number;
  /** Bytes: guest RAM, what of it the host backs at present, and what all of the process takes. */
  readonly memory: {
    readonly size: number;
    readonly guest: number;
    readonly process: number;
    /** What the guest has given up. */
    readonly balloon: number;
  };
  /** Bytes that the guest read from its disks, and wrote, since the machine's start. */
  readonly disk: { readonly read: number; readonly written: number };
  /** Bytes of frames that the guest received and sent. */
  readonly network: { readonly received: number; readonly sent: number };
  /** Guest instructions that were executed. */
  readonly instructions: number;
}
