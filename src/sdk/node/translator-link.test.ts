import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { CompilerPort, RegionReply, RegionRequest } from '../../cpu/translator/compiler.ts';
import { createTranslatorLinks, openCompiler } from '../translator-link.ts';

/** The thread that compiles regions, as the command line starts it. */
async function withTranslator(use: (compiler: CompilerPort, worker: Worker, words: Int32Array) => Promise<void>) {
  const [link] = createTranslatorLinks(1);
  const worker = new Worker(new URL('translator-worker.ts', import.meta.url), { workerData: [link] });
  try {
    await use(openCompiler(link), worker, new Int32Array(link.words));
  } finally {
    await worker.terminate();
  }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

async function reply(compiler: CompilerPort): Promise<RegionReply> {
  for (;;) {
    const taken = compiler.take();
    if (taken !== undefined) return taken;
    await turn();
  }
}

/** One block of 64-bit code that jumps to its own start. */
const request = (id: number, code: readonly number[]): RegionRequest => ({
  id,
  mode: { codeSize: 8, stackSize: 8, protected: true, flatSegments: [true, true, true, true, true, true] },
  blocks: [{ offset: 0x100, length: code.length, ending: 'jump', successors: [0x100], seldom: false }],
  code: Uint8Array.from(code),
  checked: false,
  numbers: { place: 20, cell: 0x1_0000 },
});
const SPIN = [0xeb, 0xfe];

test('requests are answered in their order', async () => {
  await withTranslator(async (compiler) => {
    assert.equal(compiler.take(), undefined);
    for (const id of [7, 8, 9]) compiler.post(request(id, SPIN));
    for (const id of [7, 8, 9]) {
      const { id: answered, made } = await reply(compiler);
      assert.equal(answered, id);
      assert.ok(made?.module instanceof WebAssembly.Module);
    }
    assert.equal(compiler.take(), undefined);
  });
});

test('a request wakes the translator', async () => {
  await withTranslator(async (compiler, _worker, words) => {
    compiler.post(request(1, SPIN));
    await reply(compiler);
    while (Atomics.load(words, 1) === 0) await turn();
    compiler.post(request(2, SPIN));
    assert.equal((await reply(compiler)).id, 2);
  });
});

test('what the translator throws is told', async () => {
  await withTranslator(async (compiler, worker) => {
    const failed = once(worker, 'message');
    compiler.post(request(1, [0x06]));
    const [message] = await failed;
    assert.equal(message.kind, 'failed');
    assert.match(message.error.message, /Virts met a defect of its own: code of a region is undefined/);
    assert.equal(compiler.take(), undefined);
  });
});
