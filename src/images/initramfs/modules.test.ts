import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeModule } from '../../../test/images/fake-module.ts';
import { readModule, selectModules } from './modules.ts';

test('.modinfo of 32-bit and 64-bit modules', () => {
  for (const bits of [32, 64] as const) {
    const bytes = makeModule(['license=GPL', 'alias=pci:v1*', 'alias=virtio:d4', 'depends=a,b-c'], bits);
    assert.deepEqual(readModule('kernel/x/my-mod.ko', bytes), {
      name: 'my_mod',
      depends: ['a', 'b_c'],
      aliases: ['pci:v1*', 'virtio:d4'],
    });
  }
});

test('what is no module is bad input', () => {
  const good = makeModule(['depends=']);
  for (const bytes of [Buffer.from('text'), Buffer.alloc(0), good.subarray(0, 80), Buffer.alloc(200)]) {
    assert.throws(() => readModule('x.ko', bytes), { kind: 'bad-input' });
  }
});

test('modules come with what they need, the last of it to be loaded first', () => {
  const available = new Map([
    ['kernel/d/top-mod.ko', makeModule(['depends=left,right', 'alias=virtio:d1'])],
    ['kernel/d/left.ko', makeModule(['depends=base'])],
    ['kernel/d/right.ko', makeModule(['depends=left,base'])],
    ['kernel/d/base.ko', makeModule(['depends='])],
    ['kernel/d/unwanted.ko', makeModule(['depends='])],
  ]);
  const { files, dep, alias } = selectModules(available, ['top_mod', 'built_in']);
  assert.deepEqual(
    [...files.keys()],
    ['base', 'left', 'right', 'top-mod'].map((name) => `kernel/d/${name}.ko`),
  );
  const lines = dep.split('\n');
  assert.equal(lines[0], 'kernel/d/base.ko:');
  assert.equal(lines[3], 'kernel/d/top-mod.ko: kernel/d/right.ko kernel/d/left.ko kernel/d/base.ko');
  assert.equal(alias, 'alias virtio:d1 top_mod\n');
});
