import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMarkReader, type Mark, measure } from './marks.ts';

function read(chunks: readonly (readonly [text: string, at: number])[]): { marks: Mark[]; others: string[] } {
  const marks: Mark[] = [];
  const reader = createMarkReader((mark) => marks.push(mark));
  const others = chunks.flatMap(([text, at]) => reader(text, at));
  return { marks, others };
}

test('a mark has the time at which its line is complete, however it is cut', () => {
  const { marks } = read([
    ['MARK crc32 st', 10],
    ['art', 20],
    ['\r\nMARK crc32 slice\r\nMA', 30],
    ['RK crc32 checksum ab12\n', 40],
  ]);
  assert.deepEqual(marks, [
    { name: 'crc32', event: 'start', text: '', at: 30 },
    { name: 'crc32', event: 'slice', text: '', at: 30 },
    { name: 'crc32', event: 'checksum', text: 'ab12', at: 40 },
  ]);
});

test('other lines come back', () => {
  const { marks, others } = read([['boot\nMARK x\n  MARK x start\nMARK x end\n$ ', 1]]);
  assert.deepEqual(
    marks.map(({ event }) => event),
    ['end'],
  );
  assert.deepEqual(others, ['boot', 'MARK x', '  MARK x start']);
});

test('a line without an end takes no more memory than a long line', () => {
  const reader = createMarkReader(() => {});
  for (let i = 0; i < 100; i++) assert.deepEqual(reader('x'.repeat(10_000), i), []);
  assert.ok(reader('\n', 100)[0]!.length < 100_000);
});

const marksOf = (text: string): Mark[] => read(text.split(';').map((line, at) => [`MARK ${line}\n`, at * 500])).marks;

test('a measurement: the whole and its slices', () => {
  const marks = marksOf('runner ready;a start;a slice;a slice;a end;a checksum 77;runner done 0');
  assert.deepEqual(measure(marks, 'a'), { seconds: 1.5, slices: [0.5, 0.5], checksum: '77' });
  assert.deepEqual(measure(marksOf('b start;b end;b checksum 1'), 'b'), { seconds: 0.5, slices: [], checksum: '1' });
});

test('marks that are missing, doubled or out of order are no measurement', () => {
  for (const text of ['a start', 'a start;a end', 'a end;a start;a checksum 1', 'a start;a start;a end;a checksum 1']) {
    assert.equal(measure(marksOf(text), 'a'), undefined, text);
  }
  assert.equal(measure(marksOf('a start;a end;a checksum 1'), 'b'), undefined);
});
