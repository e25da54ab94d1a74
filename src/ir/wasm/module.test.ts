import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Builder } from '../builder.ts';
import { ModuleBuilder } from './module.ts';

/** Frame of a function of (i32, v128) to i32. */
function frameOf(fill: (b: Builder) => void): number {
  const module = new ModuleBuilder();
  module.define('f', { params: ['i32', 'v128'], result: 'i32' }, fill);
  module.encode();
  return module.frameBytes('f');
}

test('a frame has the parameters and the locals', () => {
  assert.equal(
    frameOf((b) => b.return(b.param(0))),
    24,
  );
  const square = (b: Builder) => {
    const sum = b.add(b.param(0), b.i32(1));
    return b.mul(sum, sum);
  };
  assert.equal(
    frameOf((b) => b.return(square(b))),
    32,
  );
});

test('values that do not live at the same time share a local', () => {
  const fill = (b: Builder) => {
    for (let i = 0; i < 5; i++) {
      const value = b.loadHost('i64.load', b.param(0), 8 * i);
      b.storeHost('i64.store', b.param(0), b.mul(value, value), 8 * i);
    }
    b.return(b.i32(0));
  };
  assert.equal(frameOf(fill), 32);
});

test('variables of both arms of an if share a local', () => {
  const fill = (b: Builder) => {
    for (let i = 0; i < 5; i++) {
      const host = b.variable('i32');
      b.if(
        b.loadHost('i32.load', b.param(0)),
        () => b.set(host, b.i32(i)),
        () => {
          b.set(host, b.loadHost('i32.load', b.param(0), 4));
          b.if(b.eqz(b.get(host)), () => b.return(b.i32(1)));
        },
      );
      b.storeHost('i32.store', b.get(host), b.i32(i));
    }
    b.return(b.i32(0));
  };
  assert.equal(frameOf(fill), 32);
});

test('the frame of a function that was not encoded is unknown', () => {
  assert.throws(() => new ModuleBuilder().frameBytes('f'), TypeError);
});
