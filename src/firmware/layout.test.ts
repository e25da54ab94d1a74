import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootGdt, identityPageTables } from './entry.ts';
import { FIRMWARE_AREA, LAYOUT, LOADER_END } from './layout.ts';
import { memoryMap } from './memory-map.ts';

test('no two areas overlap, and each lies where the memory map protects it', () => {
  const areas = Object.entries(LAYOUT).sort(([, a], [, b]) => a.base - b.base);
  for (const [i, [name, area]] of areas.entries()) {
    const end = area.base + area.size;
    if (i + 1 < areas.length) assert.ok(end <= areas[i + 1][1].base, `${name} runs into ${areas[i + 1][0]}`);
    const reserved =
      name === 'ebda' || (area.base >= FIRMWARE_AREA.base && end <= FIRMWARE_AREA.base + FIRMWARE_AREA.size);
    assert.ok(reserved || end <= LOADER_END, name);
  }
  assert.ok(identityPageTables().length <= LAYOUT.pageTables.size);
  assert.equal(LAYOUT.pageTables.base % 4096, 0);
  assert.ok(bootGdt('long').length <= LAYOUT.gdt.size);
});

test('the anchors lie where guests search: 16-byte boundaries of the F segment', () => {
  for (const name of ['rsdp', 'smbios2Entry', 'smbios3Entry', 'mpPointer'] as const) {
    assert.equal(LAYOUT[name].base % 16, 0);
    assert.equal(LAYOUT[name].base >> 16, 0xf);
  }
});

test('a machine has more than 1 MiB and at most 3.5 GiB', () => {
  for (const size of [0, 0x100000, 0xe0000001]) assert.throws(() => memoryMap(size), { kind: 'no-space' });
  assert.equal(memoryMap(0xe0000000).at(-1)?.size, 0xdff00000);
});
