/** What is measured on which disk, and what issue 5 demands of it. */

export const DISKS = ['raw', 'qcow2', 'overlay'] as const;
export type DiskKind = (typeof DISKS)[number];

export interface Job {
  /** `raw read`, for instance. */
  readonly name: string;
  readonly disk: DiskKind;
  /** fio's `rw`. */
  readonly rw: 'read' | 'write' | 'randread' | 'randwrite';
  readonly block: '1M' | '4k';
  readonly depth: 1 | 8 | 32;
  /** MiB of the disk that are worked on, from which, and MiB that are transferred. */
  readonly span: number;
  readonly offset: number;
  readonly amount: number;
  /** The least speed as a part of TCG's. */
  readonly target: number;
}

/** MiB of each disk. */
export const DISK_SIZE = 1024;

const SEQUENTIAL = { block: '1M', depth: 8, span: 512, target: 0.8 } as const;
const RANDOM = { block: '4k', span: 256, target: 0.6 } as const;

const KINDS = {
  read: { ...SEQUENTIAL, rw: 'read', offset: 0, amount: 4096 },
  write: { ...SEQUENTIAL, rw: 'write', offset: 0, amount: 2048 },
  'random read x1': { ...RANDOM, rw: 'randread', depth: 1, offset: 512, amount: 64 },
  'random read x32': { ...RANDOM, rw: 'randread', depth: 32, offset: 512, amount: 160 },
  'random write x1': { ...RANDOM, rw: 'randwrite', depth: 1, offset: 768, amount: 64 },
  'random write x32': { ...RANDOM, rw: 'randwrite', depth: 32, offset: 768, amount: 160 },
} as const satisfies Record<string, Omit<Job, 'name' | 'disk'>>;

/** On an overlay each piece is written to for the first time: that is what is measured there. */
const OVERLAY: Readonly<Partial<Record<keyof typeof KINDS, Partial<Job>>>> = {
  write: { amount: 512 },
  'random write x32': { amount: 64 },
};

export const JOBS: readonly Job[] = DISKS.flatMap((disk) =>
  Object.entries(KINDS).flatMap(([kind, job]): Job[] => {
    const other = OVERLAY[kind as keyof typeof KINDS];
    if (disk === 'overlay' && other === undefined) return [];
    return [{ ...job, name: `${disk} ${kind}`, disk, ...(disk === 'overlay' && other) }];
  }),
);

/** The shell command that runs a job in the guest (`bench/disk/measure`). Amounts are scaled by `scale`. */
export function commandOf(job: Job, scale: number): string {
  const device = `/dev/vd${'abc'[DISKS.indexOf(job.disk)]}`;
  const amount = Math.max(1, Math.round(job.amount * scale));
  const pattern = `0x${(0x1000_0000 + JOBS.indexOf(job) * 0x01020408).toString(16)}`;
  const sizes = [`${job.span}M`, `${job.offset}M`, `${amount}M`];
  return ['sh /bench/measure', markOf(job), device, job.rw, job.block, job.depth, ...sizes, pattern].join(' ');
}

/** A job's name in marks, which have no spaces. */
export const markOf = ({ name }: Job): string => name.replace(/ /g, '-');
