/** How routines give up: they answer 0, having changed nothing, and JavaScript does it all. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';

/** Returns 0 where the condition does not hold. */
export function require(b: Builder, condition: Value): void {
  b.if(b.eqz(condition), () => b.return(b.i32(0)));
}

/** Host address that a look-up gave, or the end of the routine. */
export function reached(b: Builder, host: Value): Value {
  const variable = b.variable('i32', host);
  require(b, b.get(variable));
  return b.get(variable);
}
