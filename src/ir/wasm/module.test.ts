import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Builder } from '../builder.ts';
import { ByteWriter } from './bytes.ts';
import { encodeFunction } from './function.ts';
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

test('nothing is written to a variable that is never read', () => {
  const fill = (reads: boolean) => (b: Builder) => {
    const seen = b.variable('i64', b.loadHost('i64.load', b.param(0)));
    b.if(b.param(0), () => b.set(seen, b.i64(-1)));
    if (reads) b.storeHost('i64.store', b.param(0), b.get(seen));
    b.return(b.i32(0));
  };
  assert.equal(frameOf(fill(true)), 32);
  assert.equal(frameOf(fill(false)), 24);
});

test('in an arm that is seldom taken no branch is hinted', () => {
  const hints = (outer: 'likely' | 'unlikely', inner: 'consequent' | 'alternative'): number => {
    const builder = new Builder(['i32', 'v128'], 'i32', () => assert.fail());
    const store = (at: number) => () => builder.storeHost('i32.store', builder.param(0), builder.i32(at), at);
    const nested = () => builder.if(builder.param(0), store(1), undefined, 'unlikely');
    const [then, otherwise] = inner === 'consequent' ? [nested, store(2)] : [store(2), nested];
    builder.if(builder.param(0), then, otherwise, outer);
    builder.return(builder.i32(0));
    return encodeFunction(new ByteWriter(), builder, { functionIndex: () => 0, typeIndex: () => 0 }).hints.length;
  };
  assert.equal(hints('likely', 'consequent'), 2);
  assert.equal(hints('unlikely', 'alternative'), 2);
  assert.equal(hints('unlikely', 'consequent'), 1);
  assert.equal(hints('likely', 'alternative'), 1);
});
