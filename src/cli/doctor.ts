/** `virts doctor`: what this host offers, and why it matters. */
import { accessSync, constants, existsSync } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { ERROR_KINDS } from '../base/errors.ts';
import { cacheDirectory } from '../images/apt/cache.ts';
import { DEBIAN_KEYRINGS } from '../images/apt/keys.ts';
import { selectPockets } from '../images/apt/select.ts';
import { readSources } from '../images/apt/sources.ts';
import { findGpgv } from '../images/apt/verify.ts';
import type { Environment } from './environment.ts';

/** `ok`; `limited`: it works, with less; `missing`: Virts cannot run. */
export type FindingState = 'ok' | 'limited' | 'missing';

export interface Finding {
  readonly name: string;
  readonly state: FindingState;
  readonly detail: string;
}

const NODE_MAJOR = 24;
/** Bytes that the default guest's indexes, packages and files take in the cache. */
const GUEST_SPACE = 100 * 2 ** 20;

// The types of WebAssembly belong to the DOM's library, which is not loaded here.
const { WebAssembly } = globalThis as unknown as { WebAssembly: { validate(module: Uint8Array): boolean } };

const isValid = (sections: string): boolean => WebAssembly.validate(Buffer.from(`0061736d01000000${sections}`, 'hex'));

/** Modules that a host accepts only if it knows the feature (WebAssembly core specification, binary format). */
const FEATURES = {
  // A shared memory; i32.const 0, i32.atomic.load, drop.
  threads: '010401600000 03020100 050401030101 0a0b0109004100fe1002001a0b'.replaceAll(' ', ''),
  // i32.const 0, i8x16.splat, drop.
  simd: '010401600000 03020100 0a0901070041 00fd0f1a0b'.replaceAll(' ', ''),
  // return_call of itself.
  'tail calls': '010401600000 03020100 0a0601040012000b'.replaceAll(' ', ''),
} as const;

function wasmFinding(name: keyof typeof FEATURES, why: string): Finding {
  const valid = isValid(FEATURES[name]);
  return {
    name: `WebAssembly ${name}`,
    state: valid ? 'ok' : 'missing',
    detail: valid ? `there; ${why}` : `not there; ${why}, so a newer Node is needed`,
  };
}

function nodeFinding(): Finding {
  const enough = Number.parseInt(process.versions.node, 10) >= NODE_MAJOR;
  return {
    name: 'Node',
    state: enough ? 'ok' : 'missing',
    detail: `${process.versions.node}${enough ? '' : `; ${NODE_MAJOR} or newer is needed`}`,
  };
}

function memoryFinding(): Finding {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(process.availableMemory(), freemem() || total, total);
  const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  const few = free < 768 * 2 ** 20;
  return {
    name: 'Memory',
    state: few ? 'limited' : 'ok',
    detail: `${mebibytes(free)} of ${mebibytes(total)} free${few ? '; give guests less than the usual 512M' : ''}`,
  };
}

function kvmFinding(): Finding {
  const name = '/dev/kvm';
  if (!existsSync(name)) return { name, state: 'ok', detail: 'not there; Virts makes no use of it yet' };
  try {
    accessSync(name, constants.R_OK | constants.W_OK);
    return { name, state: 'ok', detail: 'there and accessible; Virts makes no use of it yet' };
  } catch {
    return { name, state: 'ok', detail: 'there, not for this user; Virts makes no use of it yet' };
  }
}

async function aptFinding(): Promise<Finding> {
  const name = 'APT sources';
  try {
    const [main] = selectPockets(await readSources('/etc/apt'), 'bookworm');
    return {
      name,
      state: 'ok',
      detail: `the default guest comes from ${new URL(main!.sources[0]!.uri).host || 'a local archive'}`,
    };
  } catch (error) {
    return { name, state: 'limited', detail: (error as Error).message };
  }
}

async function keyringFinding(): Promise<Finding> {
  const name = 'Archive keyring';
  const path = DEBIAN_KEYRINGS.find((candidate) => existsSync(candidate));
  if (path !== undefined) return { name, state: 'ok', detail: path };
  return {
    name,
    state: 'limited',
    detail: 'not there; install debian-archive-keyring or use --keyring FILE for the default guest',
  };
}

async function gpgvFinding(env: NodeJS.ProcessEnv): Promise<Finding> {
  const path = await findGpgv(env);
  return { name: 'gpgv', state: 'ok', detail: path ?? 'not there; signatures are checked by the openpgp package' };
}

/** The nearest directory above `path`, itself included, that exists. */
function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path));
}

async function cacheFinding(env: NodeJS.ProcessEnv): Promise<Finding> {
  const name = 'Cache';
  const path = cacheDirectory(env);
  try {
    await access(nearest(path), constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(nearest(path));
    const little = bavail * bsize < GUEST_SPACE;
    const free = `${Math.round((bavail * bsize) / 2 ** 20)} MiB free`;
    return {
      name,
      state: little ? 'limited' : 'ok',
      detail: `${path}, ${free}${little ? '; the default guest needs more' : ''}`,
    };
  } catch {
    return { name, state: 'limited', detail: `${path} cannot be written; set XDG_CACHE_HOME to a directory of yours` };
  }
}

/** Looks at the host. */
export async function examine(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  return [
    nodeFinding(),
    wasmFinding('threads', 'guest memory is shared between threads'),
    wasmFinding('simd', 'SSE instructions are translated to it'),
    wasmFinding('tail calls', 'the interpreter dispatches with them'),
    { name: 'Processors', state: 'ok', detail: `${availableParallelism()}` },
    memoryFinding(),
    kvmFinding(),
    await aptFinding(),
    await keyringFinding(),
    await gpgvFinding(env),
    await cacheFinding(env),
  ];
}

/** Prints what `examine` finds; the exit status says whether guests can run here. */
export async function doctor(json: boolean, { env, stdout }: Environment): Promise<number> {
  const findings = await examine(env);
  if (json) {
    stdout.write(`${JSON.stringify(findings, undefined, 2)}\n`);
  } else {
    const width = Math.max(...findings.map(({ name }) => name.length));
    for (const { name, state, detail } of findings) {
      stdout.write(`${state.padEnd(8)} ${name.padEnd(width)}  ${detail}\n`);
    }
  }
  return findings.some(({ state }) => state === 'missing') ? ERROR_KINDS.unsupported : 0;
}
