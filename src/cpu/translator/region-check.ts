/** Whether the pages of a region with code in more than one are where it expects them, asked on entry. */

import { readField } from '../../isa/fields.ts';
import { type Helper, helper, routine } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { linearAddressOf } from '../interpreter/jump-cache.ts';
import { CELL } from './cell.ts';

/**
 * `regionValid` (cpu, cell) -> 1 or 0. What the engine found before (`regionCheck`) stands in the cell as host addresses;
 * where each page still has the same, that is enough, and the cell says so for the present generation.
 */
const regionValid = routine('regionValid', ['i32'], 'i32', (b, cpu, cell) => {
  const { offsets } = VCPU;
  const before = b.variable('i32', readField(b, cpu, 'epoch'));
  const left = b.variable('i32', b.loadHost('i32.load', cell, CELL.pages));
  const at = b.variable('i32', cell);
  const ask = () => b.return(b.call('regionCheck', cpu, cell));
  b.if(b.eqz(b.get(left)), ask);
  // Below the floor a frame may be another page's by now.
  const generation = b.loadHost('i32.load', cell, CELL.key + 4);
  b.if(b.ltU(generation, readField(b, cpu, 'jumpFloor')), ask);
  b.loop((again) => {
    const distance = b.op('i64.extend_i32_s', b.loadHost('i32.load', b.get(at), CELL.firstPage));
    const ip = b.add(readField(b, cpu, 'ipBase'), b.mul(distance, b.i64(PAGE_SIZE)));
    const host = b.call('codePage', cpu, linearAddressOf(b, cpu, ip));
    b.if(b.ne(host, b.loadHost('i32.load', b.get(at), CELL.firstPage + 4)), ask);
    b.set(at, b.add(b.get(at), b.i32(8)));
    b.set(left, b.sub(b.get(left), b.i32(1)));
    b.branchIf(again, b.get(left));
  });
  // A walk that set an accessed bit may have dropped code.
  b.if(b.ne(readField(b, cpu, 'epoch'), b.get(before)), ask);
  b.storeHost('i64.store', cell, b.loadHost('i64.load', cpu, offsets.modeKey), CELL.key);
  b.storeHost('i64.store', cell, readField(b, cpu, 'ipBase'), CELL.ipBase);
  b.return(b.i32(1));
});

export const regionHelpers: readonly Helper[] = [
  /** As `regionValid`, by the engine. */
  helper('regionCheck', ['i32'], 'i32'),
  regionValid,
];
