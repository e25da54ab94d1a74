/** apt.conf(5), as far as a download needs it: the proxies. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Option names in lower case (`acquire::http::proxy`) with their last value. */
export type AptOptions = ReadonlyMap<string, string>;

/** Parses the output of `apt-config dump`: one `Name "value";` a line. */
export function parseDump(text: string): AptOptions {
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^(\S+)\s+"(.*)";\s*$/.exec(line);
    if (match !== null) options.set(match[1]!.toLowerCase(), match[2]!);
  }
  return options;
}

const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|#[^\n]*|"([^"]*)"|([{};])|([^\s"{};]+)/g;

/** Parses apt.conf syntax: `A::B "x";` and `A { B "x"; };`, with its three kinds of comment. */
export function parseConf(text: string): AptOptions {
  const options = new Map<string, string>();
  const scopes: string[] = [];
  let name = '';
  for (const [, quoted, mark, word] of text.matchAll(TOKEN)) {
    if (mark === '{') {
      scopes.push(name);
      name = '';
    } else if (mark === '}') {
      scopes.pop();
      name = '';
    } else if (mark === ';') {
      name = '';
    } else {
      const value = quoted ?? word;
      if (value === undefined) continue;
      if (name === '') name = value;
      else options.set([...scopes, name].join('::').toLowerCase(), value);
    }
  }
  return options;
}

async function readConfFiles(directory: string): Promise<AptOptions> {
  const parts = join(directory, 'apt.conf.d');
  const names = (await readdir(parts).catch(() => [] as string[])).filter((name) => /^[\w-]+(\.conf)?$/.test(name));
  const files = [...names.toSorted().map((name) => join(parts, name)), join(directory, 'apt.conf')];
  const options = new Map<string, string>();
  for (const file of files) {
    for (const [key, value] of parseConf(await readFile(file, 'utf8').catch(() => ''))) options.set(key, value);
  }
  return options;
}

/** The host's APT options: what `apt-config` says, or without that program what the files below `directory` say. */
export async function readAptOptions(directory: string): Promise<AptOptions> {
  if (directory === '/etc/apt') {
    try {
      return parseDump((await promisify(execFile)('apt-config', ['dump'], { timeout: 10_000 })).stdout);
    } catch {
      // No apt-config here: the files are read instead.
    }
  }
  return readConfFiles(directory);
}

function isExempt(host: string, list: string | undefined): boolean {
  return (list ?? '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const suffix = entry.replace(/^\*?\.?/, '').toLowerCase();
      return entry === '*' || host === suffix || host.endsWith(`.${suffix}`);
    });
}

/**
 * The proxy for one address as APT picks it: the option for this host, the option for all hosts, then the environment.
 * `undefined`: connect directly.
 */
export function proxyFor(url: URL, options: AptOptions, env: NodeJS.ProcessEnv): string | undefined {
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== 'http' && scheme !== 'https') return undefined;
  const host = url.hostname.toLowerCase();
  const configured =
    options.get(`acquire::${scheme}::proxy::${host}`) ??
    options.get(`acquire::http::proxy::${host}`) ??
    options.get(`acquire::${scheme}::proxy`) ??
    options.get('acquire::http::proxy');
  if (configured !== undefined && configured !== '' && configured !== 'false') {
    return configured.toUpperCase() === 'DIRECT' ? undefined : configured;
  }
  if (isExempt(host, env.no_proxy ?? env.NO_PROXY)) return undefined;
  // HTTP_PROXY in capitals is what a CGI request header can set, so only the lower-case name counts.
  const proxy =
    scheme === 'https' ? (env.https_proxy ?? env.HTTPS_PROXY ?? env.all_proxy) : (env.http_proxy ?? env.all_proxy);
  return proxy === undefined || proxy === '' ? undefined : proxy;
}
