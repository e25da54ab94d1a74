/** Every register form against results of a real processor (`vectors.txt`). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readFlags } from '../../cpu/flags.ts';
import { STATUS_FLAGS } from '../state.ts';
import { reset, run, setXmm, state, xmm } from './rig.test-helper.ts';

const hex = (value: number | bigint): string => value.toString(16);

/** An MMX register: the significand of the x87 register of that number. */
const mmx = (index: number): string => hex(state.fpr[2 * index] as bigint);

function set(name: string, value: string): void {
  const index = Number(name.slice(1));
  if (name === 'mxcsr') state.mxcsr = Number.parseInt(value, 16);
  else if (name[0] === 'x') setXmm(index, value);
  else if (name[0] === 'm') state.fpr[2 * index] = BigInt(`0x${value}`);
  else state.gpr[index] = BigInt(`0x${value}`);
}

function get(name: string, fault: number | undefined): string {
  const index = Number(name.slice(1));
  if (name === 'mxcsr') return hex(state.mxcsr);
  if (name === 'flags') return hex(readFlags(state) & STATUS_FLAGS);
  if (name === 'fault') return String(fault);
  if (name[0] === 'x') return xmm(index);
  return name[0] === 'm' ? mmx(index) : hex(state.gpr[index] as bigint);
}

const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');
const pairs = (text: string) => words(text).map((word) => word.split('=') as [string, string]);

/** What differs from the recorded outcome. */
function differences(line: string, constants: boolean): string[] {
  const [before = '', after = ''] = (line.split(' ; ')[0] as string).split(' :');
  const [code = ''] = words(before);
  const inputs = pairs(before.slice(code.length));
  const changes = pairs(after);
  reset();
  for (const [name, value] of inputs) set(name, value);
  const fault = run(code, constants);
  const names = new Set([...inputs.map(([name]) => name), ...changes.map(([name]) => name), 'fault']);
  const expected = new Map([...inputs, ['fault', 'undefined'] as const, ...changes]);
  return [...names]
    .filter((name) => get(name, fault) !== expected.get(name))
    .map((name) => `${line}: ${name} is ${get(name, fault)}`);
}

const lines = readFileSync(join(import.meta.dirname, 'vectors.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

for (const [title, constants] of [
  ['with the immediate read at run time', false],
  ['with the immediate known beforehand', true],
] as const) {
  test(`register forms, ${title}`, () => {
    assert.deepEqual(
      lines.flatMap((line) => differences(line, constants)),
      [],
    );
  });
}
