import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Builder } from './builder.ts';
import type { Signature } from './node.ts';
import { IMPORTS, ModuleBuilder } from './wasm/module.ts';

type Run = (...args: (number | bigint)[]) => number | bigint;

/** Compiles one function. */
function compile(signature: Signature, fill: (b: Builder) => void): Run {
  const module = new ModuleBuilder();
  module.define('f', signature, fill, { exported: true });
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const table = new WebAssembly.Table({ initial: 1, element: 'anyfunc' });
  const env = { [IMPORTS]: { memory, table } };
  return new WebAssembly.Instance(new WebAssembly.Module(module.encode()), env).exports.f as Run;
}

const UNARY: Signature = { params: ['i32'], result: 'i32' };

describe('choose', () => {
  test('gives the value of the arm that the condition takes', () => {
    const f = compile(UNARY, (b) => {
      const x = b.param(0);
      const chosen = b.choose(
        b.ltS(x, b.i32(10)),
        () => b.mul(x, b.i32(3)),
        () => b.sub(x, b.i32(1)),
      );
      b.return(b.add(chosen, chosen));
    });
    assert.equal(f(4), 24);
    assert.equal(f(10), 18);
  });

  test('runs the effects of one arm only', () => {
    const f = compile(UNARY, (b) => {
      const count = b.variable('i32', b.i32(0));
      const bump = (by: number) => () => {
        b.set(count, b.add(b.get(count), b.i32(by)));
        return b.i32(by);
      };
      b.choose(b.param(0), bump(1), bump(100));
      b.return(b.get(count));
    });
    assert.equal(f(1), 1);
    assert.equal(f(0), 100);
  });

  test('lets an arm leave the function or a block', () => {
    const f = compile(UNARY, (b) => {
      const x = b.param(0);
      b.block((end) => {
        const chosen = b.choose(
          b.eqz(x),
          () => {
            b.return(b.i32(7));
            return b.i32(0);
          },
          () => {
            b.branchIf(end, b.eq(x, b.i32(1)));
            return b.add(x, b.i32(20));
          },
        );
        b.return(chosen);
      });
      b.return(b.i32(9));
    });
    assert.equal(f(0), 7);
    assert.equal(f(1), 9);
    assert.equal(f(2), 22);
  });

  test('nests', () => {
    const f = compile(UNARY, (b) => {
      const x = b.param(0);
      const pick = (low: number): ReturnType<Builder['i32']> =>
        low === 4
          ? b.i32(low)
          : b.choose(
              b.eq(x, b.i32(low)),
              () => b.i32(low * 10),
              () => pick(low + 1),
            );
      b.return(pick(0));
    });
    assert.deepEqual(
      [0, 1, 2, 3, 5].map((x) => f(x)),
      [0, 10, 20, 30, 4],
    );
  });

  test('refuses arms of different types', () => {
    const fill = (b: Builder) =>
      b.choose(
        b.param(0),
        () => b.i32(1),
        () => b.i64(1),
      );
    assert.throws(() => compile(UNARY, fill), TypeError);
  });

  test('builds only the taken arm of a constant condition', () => {
    const f = compile(UNARY, (b) => {
      b.return(
        b.choose(
          b.i32(1),
          () => b.param(0),
          () => assert.fail('the other arm is not wanted'),
        ),
      );
    });
    assert.equal(f(3), 3);
  });
});

test('a hole is filled after what follows it was built', () => {
  const f = compile(UNARY, (b) => {
    const x = b.variable('i32', b.i32(1));
    const fill = b.hole();
    b.return(b.add(b.get(x), b.param(0)));
    fill(() => b.set(x, b.i32(40)));
    fill(() => b.set(x, b.add(b.get(x), b.i32(1))));
  });
  assert.equal(f(1), 42);
});

test('a hole may lie in an arm and branch to what is around it', () => {
  const f = compile(UNARY, (b) => {
    let fill = (_: () => void) => {};
    b.block((end) => {
      b.if(b.param(0), () => {
        fill = b.hole();
      });
      b.return(b.i32(1));
      fill(() => b.branch(end));
    });
    b.return(b.i32(2));
  });
  assert.equal(f(0), 1);
  assert.equal(f(1), 2);
});

test('a label made up front is enclosed once the body is there', () => {
  const f = compile(UNARY, (b) => {
    const exit = b.label('block');
    const code = b.variable('i32');
    b.if(b.param(0), () => {
      b.set(code, b.i32(5));
      b.branch(exit);
    });
    b.return(b.i32(1));
    b.enclose(exit, () => b.return(b.add(b.get(code), b.i32(1))));
    b.prologue(() => b.set(code, b.i32(3)));
  });
  assert.equal(f(0), 1);
  assert.equal(f(1), 6);
});

test('bodies can be enclosed more than once', () => {
  const f = compile(UNARY, (b) => {
    const inner = b.label('block');
    const outer = b.label('block');
    b.branchIf(outer, b.param(0));
    b.branch(inner);
    b.enclose(inner, () => b.return(b.i32(1)));
    b.enclose(outer, () => b.return(b.i32(2)));
  });
  assert.equal(f(0), 1);
  assert.equal(f(1), 2);
});

test('a switch goes to the label of its index, and beyond these elsewhere', () => {
  const f = compile(UNARY, (b) => {
    const [one, two, other] = [b.label('block'), b.label('block'), b.label('block')];
    b.scope(other, () => {
      b.scope(two, () => {
        b.scope(one, () => b.switch(b.param(0), [one, two, one], other));
        b.return(b.i32(10));
      });
      b.return(b.i32(20));
    });
    b.return(b.i32(30));
  });
  assert.deepEqual(
    [0, 1, 2, 3, -1].map((index) => f(index)),
    [10, 20, 10, 30, 30],
  );
});

test('a branch to a label that is nowhere around is refused', () => {
  const fill = (b: Builder) => {
    b.branch(b.label('block'));
    b.unreachable();
  };
  assert.throws(() => compile(UNARY, fill), /label/);
});

test('only a whole body can be enclosed', () => {
  const fill = (b: Builder) => b.if(b.param(0), () => b.enclose(b.label('block'), () => {}));
  assert.throws(() => compile(UNARY, fill), TypeError);
});
