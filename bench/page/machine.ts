/**
 * A machine in a page of headless Chromium, with its serial port on standard input and output:
 * `machine.ts KERNEL INITRD APPEND MEMORY`, the memory in bytes. Ends when the guest does.
 */
import { join } from 'node:path';
import process from 'node:process';
import { chromium } from 'playwright-core';
import { bundlePages } from '../../demo/bundle.ts';
import { findProgram } from '../../demo/programs.ts';
import { serve } from '../../demo/server.ts';
import type { PageMachine } from './page.ts';

const [kernel, initrd, append, memory] = process.argv.slice(2);
if (kernel === undefined || initrd === undefined || append === undefined || memory === undefined) {
  throw new TypeError('arguments: KERNEL INITRD APPEND MEMORY');
}
const executablePath = findProgram('chromium');
if (executablePath === undefined) {
  process.stderr.write('Chromium is not installed (Debian package chromium).\n');
  process.exit(2);
}

const files = new Map([
  ['kernel', kernel],
  ['initrd', initrd],
]);
const bundle = await bundlePages(import.meta.dirname, [join(import.meta.dirname, 'index.html')]);
const server = await serve({ bundle, files, isolated: true, port: 0 });
const browser = await chromium.launch({ executablePath, args: ['--disable-gpu'] });
const page = await browser.newPage();
page.on('pageerror', (error) => process.stderr.write(`${error.message}\n`));
await page.exposeFunction('virtsOutput', (text: string) => {
  process.stdout.write(Buffer.from(text, 'latin1'));
});
await page.goto(server.address);
const options: PageMachine = { append, memory: Number(memory) };
await page.evaluate(`virtsStart(${JSON.stringify(options)})`);
process.stdin.on('data', (chunk) => {
  void page.evaluate(`virtsInput(${JSON.stringify(chunk.toString('latin1'))})`);
});
await page.evaluate('virtsEnded()');
await browser.close();
await server.close();
process.exit(0);
