import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RegionReply, RegionRequest } from '../cpu/translator/compiler.ts';
import { SWITCH } from '../cpu/translator/region.ts';
import { createTranslatorLinks, openCompiler, serveCompiler, type TranslatorLink } from './translator-link.ts';

const request = (id: number): RegionRequest => ({
  id,
  mode: { codeSize: 4, stackSize: 4, protected: true, flatSegments: [true, false, true, true, false, false] },
  blocks: [
    { offset: 0xff0, length: 3, ending: 'dynamic', successors: [SWITCH], seldom: false },
    { offset: SWITCH, length: 0, ending: 'switch', successors: [0xff0, -0x1000], seldom: false },
  ],
  code: Uint8Array.of(0xff, 0xe0, id),
  checked: true,
  numbers: { place: 20, cell: 0x1_0000 },
});

const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const TIMES = { building: 0.5, encoding: 1, WebAssembly: 2 };

class Enough extends Error {}

/** The translator's end in this thread, until it asks for more than `answers` hold. */
function serve(link: TranslatorLink, answers: readonly RegionReply[]): RegionRequest[] {
  const seen: RegionRequest[] = [];
  const compile = (asked: RegionRequest): RegionReply => {
    seen.push(asked);
    const answer = answers[seen.length - 1];
    if (answer === undefined) throw new Enough();
    return answer;
  };
  assert.throws(() => serveCompiler([link], compile), Enough);
  return seen;
}

test('requests and replies arrive as they were sent', () => {
  const [link] = createTranslatorLinks(1);
  const compiler = openCompiler(link);
  for (const id of [1, 2, 3]) compiler.post(request(id));
  assert.equal(compiler.take(), undefined);
  const module = new WebAssembly.Module(EMPTY_MODULE);
  const made = { module, bytes: EMPTY_MODULE, imports: ['regionCheck'], cells: 3 };
  const seen = serve(link, [
    { id: 1, times: TIMES, made },
    { id: 2, times: TIMES },
  ]);
  assert.deepEqual(seen, [request(1), request(2), request(3)]);
  const first = compiler.take();
  assert.ok(first?.made?.module instanceof WebAssembly.Module);
  assert.deepEqual({ ...first, made: { ...first.made, module } }, { id: 1, times: TIMES, made });
  assert.deepEqual(compiler.take(), { id: 2, times: TIMES });
  assert.equal(compiler.take(), undefined);
});

test('requests that have no room wait until there is some', () => {
  const [link] = createTranslatorLinks(1);
  const compiler = openCompiler(link);
  const large = (id: number): RegionRequest => ({ ...request(id), code: new Uint8Array(100_000).fill(id) });
  const ids = [1, 2, 3, 4, 5];
  for (const id of ids) compiler.post(large(id));
  const seen: number[] = [];
  const compile = ({ id, code }: RegionRequest): RegionReply => {
    assert.ok(code.length === 100_000 && code.every((byte) => byte === id));
    seen.push(id);
    compiler.take();
    if (seen.length === ids.length) throw new Enough();
    return { id, times: TIMES };
  };
  assert.throws(() => serveCompiler([link], compile), Enough);
  assert.deepEqual(seen, ids);
});
