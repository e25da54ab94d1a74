/** The pages of the tests, served: the demo's with the default guest, and one with guests of a few instructions. */
import { join } from 'node:path';
import { bundlePages } from '../../demo/bundle.ts';
import { type Server, serve } from '../../demo/server.ts';
import { u32 } from '../../src/firmware/bytes.ts';
import { GUESTS, tinyKernel } from '../../src/vm/tiny-kernel.test-helper.ts';

/** Bytes that the guest `fill` writes. */
export const FILLED = 256 * 2 ** 20;

const FILL_FROM = 0x400000;
const KERNELS = {
  exit: GUESTS.debugExit(3),
  echo: GUESTS.echo,
  spin: GUESTS.speakAndSpin,
  // mov edi, FILL_FROM; mov ecx, FILLED / 4; cld; rep stosd; then as `spin`
  fill: [0xbf, ...u32(FILL_FROM), 0xb9, ...u32(FILLED / 4), 0xfc, 0xf3, 0xab, ...GUESTS.speakAndSpin],
};

/** Serves the page of scenarios twice: isolated from other origins, and not. */
export async function serveScenarios(): Promise<{ isolated: Server; open: Server; close(): Promise<void> }> {
  const root = join(import.meta.dirname, 'page');
  const pages = await bundlePages(root, [join(root, 'index.html')]);
  const guests = Object.entries(KERNELS).map(([name, code]) => [`guests/${name}`, tinyKernel(code)] as const);
  const options = { bundle: new Map([...pages, ...guests]), files: new Map<string, string>(), port: 0 };
  const isolated = await serve({ ...options, isolated: true });
  const open = await serve({ ...options, isolated: false });
  return {
    isolated,
    open,
    async close() {
      await Promise.all([isolated.close(), open.close()]);
    },
  };
}
