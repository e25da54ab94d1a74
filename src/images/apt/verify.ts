/** OpenPGP signatures of Release files, by the host's `gpgv` or by the openpgp package. */
import { spawn } from 'node:child_process';
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { VirtsError } from '../../base/errors.ts';

/** A signed text: signed in the clear (InRelease), or with its signature apart (Release and Release.gpg). */
export interface Signed {
  readonly text: Buffer;
  readonly signature?: Buffer;
}

/** Public keys, binary, one keyring a buffer, and which of them count (all, when `only` is empty). */
export interface TrustedKeys {
  readonly keyrings: readonly Buffer[];
  /** Fingerprints in upper-case hexadecimal. */
  readonly only: readonly string[];
}

/** Checks a signed text and returns the text that the signature covers. @throws VirtsError `untrusted`. */
export type Verifier = (signed: Signed, keys: TrustedKeys, name: string) => Promise<string>;

const ARMOR = '-----BEGIN PGP PUBLIC KEY BLOCK-----';

function untrusted(name: string, why: string, cause?: unknown): VirtsError {
  return new VirtsError(
    'untrusted',
    `The signature of ${name} is not one of the archive's keyring (${why}); the mirror or the keyring is wrong or out of date.`,
    { name },
    cause,
  );
}

/** Turns ASCII-armoured key blocks into binary ones; binary keyrings stay as they are (RFC 9580 6.2). */
export function dearmor(keyring: Buffer): Buffer {
  const text = keyring.toString('latin1').replaceAll('\r\n', '\n');
  if (!text.includes(ARMOR)) return keyring;
  const blocks = text.split(ARMOR).slice(1);
  return Buffer.concat(
    blocks.map((block) => {
      const body = block.slice(block.indexOf('\n\n') + 2);
      const end = body.search(/^(=|-----END)/m);
      return Buffer.from(end < 0 ? body : body.slice(0, end), 'base64');
    }),
  );
}

/** Where `gpgv` is on the path; `undefined` if it is not. */
export async function findGpgv(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  for (const directory of (env.PATH ?? '').split(delimiter)) {
    const path = join(directory, 'gpgv');
    if (
      directory !== '' &&
      (await access(path, constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return path;
  }
  return undefined;
}

interface GpgvResult {
  readonly status: string[];
  readonly text: Buffer;
}

function runGpgv(gpgv: string, args: readonly string[]): Promise<GpgvResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(gpgv, args, { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] });
    const text: Buffer[] = [];
    const status: Buffer[] = [];
    child.stdout!.on('data', (chunk: Buffer) => text.push(chunk));
    child.stdio[3]!.on('data', (chunk: Buffer) => status.push(chunk));
    child.on('error', reject);
    child.on('close', () => {
      const lines = Buffer.concat(status).toString('utf8').split('\n');
      resolve({ status: lines.filter((line) => line.startsWith('[GNUPG:] ')), text: Buffer.concat(text) });
    });
  });
}

/**
 * The fingerprints whose signatures are good. VALIDSIG alone does not say so: it also follows a signature by a key that
 * has expired or was revoked, where GOODSIG is missing.
 */
function readStatus(status: readonly string[]): { good: string[]; bad: boolean } {
  const good: string[] = [];
  let bad = false;
  let current = false;
  for (const line of status) {
    const [, word, first, ...rest] = line.split(' ');
    if (word === 'NEWSIG') current = false;
    else if (word === 'GOODSIG') current = true;
    else if (word === 'BADSIG') bad = true;
    // The last field is the fingerprint of the primary key, the first that of the signing key.
    else if (word === 'VALIDSIG' && current) good.push(first ?? '', rest.at(-1) ?? '');
  }
  return { good, bad };
}

/**
 * Verifies with `gpgv`. Its exit status is not what counts: a Release file carries several signatures, and an older
 * keyring need not know all of them.
 */
export function gpgvVerifier(gpgv: string): Verifier {
  return async (signed, keys, name) => {
    const directory = await mkdtemp(join(tmpdir(), 'virts-'));
    try {
      const args = ['--weak-digest', 'SHA1', '--status-fd', '3', '--output', '-'];
      for (const [at, keyring] of keys.keyrings.entries()) {
        const path = join(directory, `keyring${at}.gpg`);
        await writeFile(path, keyring);
        args.push('--keyring', path);
      }
      const textPath = join(directory, 'text');
      await writeFile(textPath, signed.text);
      if (signed.signature !== undefined) {
        const signaturePath = join(directory, 'signature');
        await writeFile(signaturePath, signed.signature);
        args.push(signaturePath);
      }
      args.push(textPath);
      const { status, text } = await runGpgv(gpgv, args);
      const { good, bad } = readStatus(status);
      if (bad) throw untrusted(name, 'it does not match the text');
      if (!good.some((key) => counts(key, keys.only))) throw untrusted(name, 'no valid signature by a known key');
      return (signed.signature === undefined ? text : signed.text).toString('utf8');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
}

const counts = (fingerprint: string, only: readonly string[]): boolean =>
  only.length === 0 || only.some((wanted) => fingerprint.endsWith(wanted.replace(/!$/, '')));

/** Verifies with the openpgp package, for hosts without GnuPG. */
export const openpgpVerifier: Verifier = async (signed, keys, name) => {
  const openpgp = await import('openpgp');
  const known = [];
  for (const keyring of keys.keyrings) {
    const all = await openpgp.readKeys({ binaryKeys: keyring }).catch((error: unknown) => {
      throw untrusted(name, 'the keyring cannot be read', error);
    });
    known.push(...all.filter((key) => counts(key.getFingerprint().toUpperCase(), keys.only)));
  }
  try {
    const message =
      signed.signature === undefined
        ? await openpgp.readCleartextMessage({ cleartextMessage: signed.text.toString('utf8') })
        : await openpgp.createMessage({ binary: signed.text });
    const { data, signatures } = await openpgp.verify({
      message: message as Awaited<ReturnType<typeof openpgp.createMessage>>,
      verificationKeys: known,
      ...(signed.signature === undefined ? {} : { signature: await readSignature(signed.signature) }),
    });
    const outcomes = await Promise.allSettled(signatures.map((signature) => signature.verified));
    if (outcomes.some((outcome) => outcome.status === 'rejected' && isForged(outcome.reason))) {
      throw untrusted(name, 'it does not match the text');
    }
    if (!outcomes.some((outcome) => outcome.status === 'fulfilled')) {
      throw untrusted(name, 'no valid signature by a known key');
    }
    return typeof data === 'string' ? data : Buffer.from(data as Uint8Array).toString('utf8');
  } catch (error) {
    throw error instanceof VirtsError ? error : untrusted(name, 'it cannot be read', error);
  }
};

const isForged = (reason: unknown): boolean => /did not match|Signature verification failed/i.test(String(reason));

async function readSignature(signature: Buffer): Promise<import('openpgp').Signature> {
  const { readSignature: read } = await import('openpgp');
  const armored = signature.subarray(0, 5).toString('latin1') === '-----';
  return armored ? read({ armoredSignature: signature.toString('latin1') }) : read({ binarySignature: signature });
}
