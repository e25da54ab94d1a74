/** The floating-point routines against results of a real processor (`vectors.txt`). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Type } from '../../ir/types.ts';
import { createRig } from './rig.test-helper.ts';
import { floatHelpers } from './routines.ts';

const rig = createRig(floatHelpers);

function argument(text: string, type: Type): number | bigint {
  return type === 'i64' ? BigInt.asIntN(64, BigInt(`0x${text}`)) : Number.parseInt(text, 16) | 0;
}

function evaluate(name: string, args: readonly string[], withExponent: boolean): string {
  const helper = floatHelpers.find((h) => h.name === name);
  assert.ok(helper, `there is a routine ${name}`);
  const { params, result } = helper.signature;
  rig.state.fpExceptions = 0;
  const values = args.map((text, i) => argument(text, params[i + 1] as Type));
  const value = BigInt.asUintN(result === 'i64' ? 64 : 32, BigInt(rig.routine(name)(rig.cpu, ...values)));
  const exponent = withExponent ? `:${rig.state.fpResultExponent.toString(16)}` : '';
  return `${value.toString(16)}${exponent} ${(rig.state.fpExceptions & 0xffff).toString(16)}`;
}

const lines = readFileSync(join(import.meta.dirname, 'vectors.txt'), 'utf8').split('\n');
const groups = Map.groupBy(
  lines.filter((line) => line !== '' && !line.startsWith('#')),
  (line) => line.slice(0, line.indexOf(' ')),
);

for (const [name, vectors] of groups) {
  test(`${name} gives what a processor gives`, () => {
    for (const line of vectors) {
      const [call, expected] = line.split(' = ') as [string, string];
      const args = call.split(' ').slice(1);
      assert.equal(evaluate(name, args, expected.includes(':')), expected, call);
    }
  });
}
