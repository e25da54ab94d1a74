import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listEncodings } from '../decoder.ts';
import type { Encoding } from '../encoding.ts';
import { system } from './index.ts';
import { createRig } from './rig.test-helper.ts';

const MAPS = { one: [], '0f': [0x0f], '0f38': [0x0f, 0x38], '0f3a': [0x0f, 0x3a] } as const;

/** Some instruction of an encoding: memory forms address [data], register forms register 2. */
function bytesOf(e: Encoding, bits: 16 | 32 | 64, wide: boolean): number[] {
  const bytes: number[] = [];
  if (typeof e.prefix === 'number') bytes.push(e.prefix);
  if (wide) bytes.push(0x48);
  bytes.push(...MAPS[e.map], e.opcode);
  if (e.fixedModRm >= 0) bytes.push(e.fixedModRm);
  else if (e.hasModRm) {
    const reg = Math.max(e.extension, 0) << 3;
    if (e.form === 'register') bytes.push(0xc2 | reg);
    else if (bits === 16) bytes.push(0x06 | reg, 0x00, 0x60);
    else bytes.push(0x04 | reg, 0x25, 0x00, 0x60, 0, 0);
  }
  return [...bytes, 0x20, 0, 0, 0, 0, 0, 0, 0];
}

test('every form runs, or raises an exception of the guest, in every mode and at both levels', () => {
  const rig = createRig();
  let ran = 0;
  for (const bits of [64, 32, 16] as const) {
    for (const level of bits === 16 ? ([0] as const) : ([0, 3] as const)) {
      for (const e of listEncodings(system)) {
        for (const wide of bits === 64 ? [false, true] : [false]) {
          const code = bytesOf(e, bits, wide);
          assert.doesNotThrow(() => rig.run(bits, code, 1, undefined, level), `${e.definition.name} ${e.text}`);
          ran++;
        }
      }
    }
  }
  assert.ok(ran > 300);
});
