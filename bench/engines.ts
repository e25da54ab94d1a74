/** How each engine is started: Virts in Node and in a page, QEMU's TCG, and the host itself. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CPU_FEATURES } from '../src/cpu/cpuid.ts';
import type { Guest } from '../src/images/default-guest.ts';
import type { Command } from './child.ts';
import { qemuCpu } from './features.ts';
import type { BenchImage } from './image.ts';

export const ENGINES = ['native', 'tcg', 'virts', 'page'] as const;
export type Engine = (typeof ENGINES)[number];
/** Those of a run that names none. */
export const USUAL_ENGINES: readonly Engine[] = ['native', 'tcg', 'virts'];

export const ENGINE_TITLES: Readonly<Record<Engine, string>> = {
  native: 'native',
  tcg: 'TCG',
  virts: 'Virts',
  page: 'page',
};

/**
 * The kernel is the same, so it may not do more work on one engine than on the other: TCG's processor claims flaws that
 * Virts' denies, and would pay for page table isolation and retpolines.
 */
const APPEND = 'console=ttyS0 quiet mitigations=off panic=-1';
const QEMU = 'qemu-system-x86_64';
const MAIN = join(import.meta.dirname, '../dist/cli/main.js');
const PAGE = join(import.meta.dirname, 'page/machine.ts');
/** Bytes, and as it is written for a command line. */
const MEMORY = { bytes: 2 ** 30, option: '1G' } as const;

const NO_NETWORK = ['-net', 'none'];
const NO_CARD = ['--net', 'none'];

function qemu(
  kernel: string,
  initrd: string | undefined,
  append: string,
  memory: string,
  network = NO_NETWORK,
): Command {
  return {
    program: QEMU,
    args: [
      ...['-accel', 'tcg,thread=single', '-smp', '1', '-cpu', qemuCpu(CPU_FEATURES), '-m', memory],
      ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot', ...network],
      ...['-kernel', kernel, ...(initrd === undefined ? [] : ['-initrd', initrd]), '-append', append],
    ],
  };
}

function virts(kernel: string, initrd: string | undefined, append: string, memory: string, network = NO_CARD): Command {
  return {
    program: process.execPath,
    args: [
      ...[MAIN, 'run', '--no-reboot', ...network, '--memory', memory],
      ...['--kernel', kernel, ...(initrd === undefined ? [] : ['--initrd', initrd]), '--append', append],
    ],
  };
}

/** Virts in a page of Chromium. */
function page(kernel: string, initrd: string, append: string): Command {
  return { program: process.execPath, args: [PAGE, kernel, initrd, append, String(MEMORY.bytes)] };
}

/**
 * The image's tree as the root of a mount and process name space of its own, which needs no privilege where user name
 * spaces are allowed. The script's own arguments: the root.
 */
const ENTER = [
  'mount --rbind /dev "$0/dev"',
  'mount -t proc proc "$0/proc"',
  'mount -t tmpfs tmpfs "$0/tmp"',
  'exec chroot "$0" /bin/sh /bench/runner',
].join(' && ');
const UNSHARE = ['--map-root-user', '--mount', '--pid', '--fork', '--kill-child'];

/** Whether the host lets the image's tree be entered, so that Debian's programs can run natively. */
export async function canEnterTree(): Promise<boolean> {
  try {
    await promisify(execFile)('unshare', [...UNSHARE, 'chroot', '/', 'true']);
    return true;
  } catch {
    return false;
  }
}

function native(image: BenchImage, enter: boolean): Command {
  const bench = join(image.root, 'bench');
  return enter
    ? { program: 'unshare', args: [...UNSHARE, 'sh', '-c', ENTER, image.root] }
    : { program: 'sh', args: [join(bench, 'runner')], env: { ...process.env, BENCH: bench } };
}

/** The command that starts an engine with the guest of the benchmark. `enter`: see `canEnterTree`. */
export function engineCommand(engine: Engine, guest: Guest, image: BenchImage, enter: boolean): Command {
  if (engine === 'native') return native(image, enter);
  if (engine === 'page') return page(guest.kernel, image.initrd, APPEND);
  return (engine === 'tcg' ? qemu : virts)(guest.kernel, image.initrd, APPEND, MEMORY.option);
}

/** The command that boots the default guest; Virts prints its figures at the end. */
export function bootCommand(engine: 'tcg' | 'virts', { kernel, initrd, append }: Guest): Command {
  return engine === 'tcg'
    ? qemu(kernel, initrd, append, '512M')
    : virts(kernel, initrd, append, '512M', [...NO_CARD, '--stats']);
}

/** What boots an image. */
export interface ImageBoot {
  readonly kernel: string;
  readonly initrd?: string | undefined;
  readonly append: string;
  /** Path of the machine's own disk, a qcow2 layer. */
  readonly disk: string;
}

/** The command that boots an image with a user-mode network; Virts prints its figures at the end. */
export function imageCommand(engine: 'tcg' | 'virts', { kernel, initrd, append, disk }: ImageBoot): Command {
  if (engine === 'virts')
    return virts(kernel, initrd, append, MEMORY.option, ['--stats', '--disk', `${disk},backing=any`]);
  const devices = ['-nic', 'user,model=virtio-net-pci', '-drive', `file=${disk},format=qcow2,if=virtio`];
  return qemu(kernel, initrd, append, MEMORY.option, devices);
}

/**
 * The command that boots a guest with disks, in their order, by virtio-blk. The disks may be open in both engines' machines at once,
 * so QEMU takes no locks. `stats`: Virts prints its figures at the end.
 */
export function diskCommand(engine: 'tcg' | 'virts', guest: Guest, disks: readonly string[], stats: boolean): Command {
  const base = (engine === 'tcg' ? qemu : virts)(guest.kernel, guest.initrd, APPEND, MEMORY.option);
  const options = disks.flatMap((path, i) => {
    if (engine === 'virts') return ['--disk', path];
    const format = path.endsWith('.qcow2') ? 'qcow2' : 'raw';
    return [
      ...['-drive', `file=${path},if=none,id=disk${i},format=${format},file.locking=off`],
      ...['-device', `virtio-blk-pci,drive=disk${i}`],
    ];
  });
  return { ...base, args: [...base.args, ...options, ...(engine === 'virts' && stats ? ['--stats'] : [])] };
}

/** A port of the host's loopback interface that leads to one of the guest. */
export interface BenchForward {
  readonly host: number;
  readonly guest: number;
}

/** The command that starts the guest of the network benchmark on a user-mode network, where 10.0.2.2 is the host. */
export function networkCommand(
  engine: 'tcg' | 'virts',
  guest: Guest,
  initrd: string,
  forwards: readonly BenchForward[],
): Command {
  const append = `${APPEND} loglevel=3`;
  if (engine === 'virts') {
    const published = forwards.flatMap((forward) => ['-p', `${forward.host}:${forward.guest}`]);
    return virts(guest.kernel, initrd, append, '512M', ['--net-host', ...published]);
  }
  const published = forwards.map((forward) => `,hostfwd=tcp:127.0.0.1:${forward.host}-:${forward.guest}`);
  return qemu(guest.kernel, initrd, append, '512M', ['-nic', `user,model=virtio-net-pci${published.join('')}`]);
}

/** QEMU's version. @throws Error if it is not there. */
export async function qemuVersion(): Promise<string> {
  const { stdout } = await promisify(execFile)(QEMU, ['--version']);
  return stdout.split('\n')[0]!;
}

/** The version in a bzImage's header (Linux, arch/x86/boot.rst: `kernel_version`), up to the first space. */
export function kernelVersion(image: Uint8Array): string {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const at = 0x200 + view.getUint16(0x20e, true);
  return Buffer.from(image.subarray(at, at + 100))
    .toString('latin1')
    .replace(/[ \0].*$/s, '');
}
