import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { NO_INLINING } from './region-module.ts';

/** Which compiler a function comes from that was not called yet: of a module made for a region, and of one made behind it. */
const TELL = `
  const { createRegionModule } = await import(${JSON.stringify(new URL('region-module.ts', import.meta.url).href)});
  const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 1, 11);
  const tell = (module) => {
    const { f } = new WebAssembly.Instance(module).exports;
    return %IsTurboFanFunction(f) ? 'optimised' : %IsLiftoffFunction(f) ? 'baseline' : 'none';
  };
  const region = tell(createRegionModule(bytes));
  bytes[bytes.length - 2] = 0;
  console.log(region, tell(new WebAssembly.Module(bytes)));`;

function tell(options: readonly string[]): string {
  const args = [...options, '--allow-natives-syntax', '--input-type=module', '--eval', TELL];
  return execFileSync(process.execPath, args, { encoding: 'utf8' }).trim();
}

test('a region is optimised at once where V8 is told not to inline, and what is made behind it is compiled as ever', () => {
  assert.equal(tell(NO_INLINING), 'optimised none');
});

test('elsewhere it is compiled at once by the baseline compiler', () => {
  assert.equal(tell([]), 'baseline none');
});
