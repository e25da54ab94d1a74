/** A Debian archive made up for a test: signed with a key of its own, served from the loopback interface. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import * as openpgp from 'openpgp';
import { pack } from 'tar-stream';

export interface FakePackage {
  readonly name: string;
  readonly version: string;
  readonly architecture?: string;
  readonly depends?: string;
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export interface FakeMirror {
  readonly url: string;
  /** The public key, ASCII-armoured. */
  readonly publicKey: string;
  /** Served by path below the server's root; tests damage it as they like. */
  readonly files: Map<string, Buffer>;
  /** Paths in the order they were asked for. */
  readonly requests: string[];
  /** Answers a request in its own way; `false` leaves it to the server. */
  intercept: (path: string, response: ServerResponse, range: string | undefined) => boolean;
  /** Publishes a suite below `debian` or another archive. */
  publish(archive: string, suite: string, packages: readonly FakePackage[], changes?: PublishChanges): Promise<void>;
  close(): Promise<void>;
}

export interface PublishChanges {
  readonly validUntil?: Date;
  readonly date?: Date;
  readonly codename?: string;
  /** A key that the keyring does not have. */
  readonly strangeKey?: boolean;
  /** Release and Release.gpg in place of InRelease. */
  readonly detached?: boolean;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export function makeAr(members: readonly (readonly [string, Uint8Array])[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const [name, bytes] of members) {
    const header = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`;
    parts.push(Buffer.from(header), bytes, Buffer.alloc(bytes.length & 1, 0x0a));
  }
  return Buffer.concat(parts);
}

export async function makeTar(files: Readonly<Record<string, string | Uint8Array>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files))
    tar.entry({ name: `./${name}`, mtime: new Date(0) }, Buffer.from(content));
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

export async function makeDeb(files: Readonly<Record<string, string | Uint8Array>>): Promise<Buffer> {
  return makeAr([
    ['debian-binary', Buffer.from('2.0\n')],
    ['control.tar.gz', gzipSync(await makeTar({ control: 'Package: x\n' }))],
    ['data.tar.gz', gzipSync(await makeTar(files))],
  ]);
}

const makeKey = () => openpgp.generateKey({ type: 'ecc', userIDs: [{ name: 'Test archive' }], format: 'object' });

async function addSigned(
  files: Map<string, Buffer>,
  base: string,
  text: string,
  key: openpgp.PrivateKey,
  detached: boolean,
): Promise<void> {
  if (detached) {
    const message = await openpgp.createMessage({ binary: Buffer.from(text) });
    const signature = await openpgp.sign({ message, signingKeys: key, detached: true });
    files.set(`${base}/Release`, Buffer.from(text));
    files.set(`${base}/Release.gpg`, Buffer.from(signature as string));
    return;
  }
  const message = await openpgp.createCleartextMessage({ text });
  files.set(`${base}/InRelease`, Buffer.from(await openpgp.sign({ message, signingKeys: key })));
}

async function addPackages(
  files: Map<string, Buffer>,
  archive: string,
  packages: readonly FakePackage[],
): Promise<Map<string, string>> {
  const indexes = new Map<string, string>([
    ['amd64', ''],
    ['i386', ''],
  ]);
  for (const entry of packages) {
    const architecture = entry.architecture ?? 'amd64';
    const deb = await makeDeb(entry.files ?? {});
    const filename = `pool/${entry.name}_${entry.version}_${architecture}.deb`;
    files.set(`/${archive}/${filename}`, deb);
    const depends = entry.depends === undefined ? '' : `Depends: ${entry.depends}\n`;
    const stanza = `Package: ${entry.name}\nVersion: ${entry.version}\nArchitecture: ${architecture}\n${depends}Filename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n\n`;
    indexes.set(architecture, (indexes.get(architecture) ?? '') + stanza);
  }
  return indexes;
}

function respond(mirror: FakeMirror, path: string, range: string | undefined, response: ServerResponse): void {
  const body = mirror.files.get(path);
  if (body === undefined) {
    response.writeHead(404).end();
    return;
  }
  const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  const headers = { 'content-length': body.length - start };
  if (start === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` });
  response.end(body.subarray(start));
}

/** Starts a mirror that has nothing yet. */
export async function startFakeMirror(): Promise<FakeMirror> {
  const good = await makeKey();
  const strange = await makeKey();
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '');
    mirror.requests.push(path);
    const range = request.headers.range;
    if (!mirror.intercept(path, response, range)) respond(mirror, path, range, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const mirror: FakeMirror = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`,
    publicKey: good.publicKey.armor(),
    files: new Map(),
    requests: [],
    intercept: () => false,
    async publish(archive, suite, packages, changes = {}) {
      const base = `/${archive}/dists/${suite}`;
      let sums = '';
      for (const [architecture, text] of await addPackages(mirror.files, archive, packages)) {
        const index = gzipSync(text);
        const path = `main/binary-${architecture}/Packages`;
        mirror.files.set(`${base}/${path}.gz`, index);
        sums += ` ${sha256(index)} ${index.length} ${path}.gz\n ${sha256(Buffer.from(text))} ${text.length} ${path}\n`;
      }
      const date = changes.date ?? new Date(Date.now() - 60_000);
      const until = changes.validUntil === undefined ? '' : `Valid-Until: ${changes.validUntil.toUTCString()}\n`;
      const text = `Suite: stable\nCodename: ${changes.codename ?? suite}\nDate: ${date.toUTCString()}\n${until}SHA256:\n${sums}`;
      const key = changes.strangeKey === true ? strange.privateKey : good.privateKey;
      await addSigned(mirror.files, base, text, key, changes.detached === true);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return mirror;
}
