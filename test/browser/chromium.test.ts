/** Machines in headless Chromium. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findProgram } from '../../demo/programs.ts';
import type { Server } from '../../demo/server.ts';
import { serveDemo } from '../../demo/web.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { defaultGuest } from '../../src/images/default-guest.ts';
import { play, scenarioTests } from './scenarios.test-helper.ts';
import { FILLED, serveScenarios } from './site.ts';

const executablePath = findProgram('chromium');
const skip = executablePath === undefined && 'Chromium is not installed (Debian package chromium)';
/** More than anything here takes on a busy host, in milliseconds. */
const PATIENCE = 240_000;

/** Resolves when `look` gives something. */
async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come`);
}

/** Bytes of memory of their own that the processes below this one have, files not counted. */
function memoryOfChildren(): number {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const statuses = processes.flatMap((pid) => {
    try {
      return [[Number(pid), readFileSync(`/proc/${pid}/status`, 'latin1')] as const];
    } catch {
      return [];
    }
  });
  const figure = (status: string, name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const family = new Set([process.pid]);
  for (let size = 0; size < family.size; ) {
    size = family.size;
    for (const [pid, status] of statuses) if (family.has(figure(status, 'PPid'))) family.add(pid);
  }
  family.delete(process.pid);
  let kibibytes = 0;
  for (const [pid, status] of statuses) {
    if (family.has(pid)) kibibytes += figure(status, 'RssAnon') + figure(status, 'RssShmem');
  }
  return kibibytes * 1024;
}

describe('Chromium', { skip, concurrency: false }, () => {
  let browser: Browser;
  let site: Awaited<ReturnType<typeof serveScenarios>>;
  let demo: Server;
  before(async () => {
    const signal = new AbortController().signal;
    const guest = await defaultGuest({ cache: cacheDirectory(), signal, progress: SILENT });
    [browser, site, demo] = await Promise.all([
      chromium.launch({ executablePath: executablePath as string, args: ['--disable-gpu'] }),
      serveScenarios(),
      serveDemo(guest, { isolated: true, port: 0 }),
    ]);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([site?.close(), demo?.close()]);
  });

  for (const isolated of [true, false]) {
    describe(isolated ? 'isolated from other origins' : 'not isolated', { concurrency: false }, () => {
      let page: Page;
      before(async () => {
        page = await browser.newPage();
        await page.goto((isolated ? site.isolated : site.open).address);
      });
      after(() => page.close());

      scenarioTests(isolated, () => page);

      test('of two machines, one that is stopped gives its memory back, and the other goes on', async () => {
        // What earlier machines had may go meanwhile.
        const less = FILLED * 0.6;
        const empty = memoryOfChildren();
        await play(page, 'fill');
        const filled = memoryOfChildren();
        assert.ok(filled > empty + less, `${empty} bytes before, ${filled} with a full machine`);
        await play(page, 'release');
        await until(() => (memoryOfChildren() < filled - less ? true : undefined), 'the memory');
        assert.equal(await play(page, 'beside'), 'still here');
      });
    });
  }

  test('a browser that lacks something says so', async () => {
    const page = await browser.newPage();
    await page.addInitScript('WebAssembly.validate = () => false');
    await page.goto(site.isolated.address);
    const { kind, status } = await play(page, 'shown', { kernel: 'guests/exit' });
    await page.close();
    assert.equal(kind, 'unsupported');
    assert.match(
      status ?? '',
      /^This browser lacks WebAssembly tail calls, .* and WebAssembly bulk memory, without which/,
    );
  });

  test('the default guest boots to its prompt, takes a command from the keyboard, and answers', async () => {
    const page = await browser.newPage();
    await page.goto(demo.address);
    const text = async () => String(await page.evaluate("document.querySelector('virts-machine')?.text"));
    const ends = (end: string) => async () => ((await text()).endsWith(end) ? true : undefined);
    await until(ends('\nvirts#'), 'the prompt');
    await page.locator('virts-machine').click();
    await page.keyboard.type('echo $((6*7)) $(uname -m)\n');
    await until(ends('\n42 x86_64\nvirts#'), 'the answer');
    await page.keyboard.type('poweroff -f\n');
    await page.getByText('The guest has switched itself off.').waitFor({ timeout: PATIENCE });
    await page.close();
  });
});
