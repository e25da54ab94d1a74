/**
 * The order inside a meaning, checked as it is built: first whatever may fault (reads of memory, checks, the write to
 * memory), then the commit (registers, flags), which cannot. A multi-step instruction calls `restartPoint` where its
 * state so far is one from which it can be started again.
 */
import { Builder } from '../ir/builder.ts';
import type { Hint, Label, Value } from '../ir/node.ts';

export abstract class OrderedBuilder extends Builder {
  #committed = false;
  #accessed = false;

  /** Notes something that may fault. */
  protected access(): void {
    if (this.#committed) throw new TypeError('an access that may fault follows a commit');
    this.#accessed = true;
  }
  /** Notes a change of architectural state. */
  protected commit(): void {
    this.#committed = true;
  }
  /** For operands: notes that one changes architectural state. */
  noteCommit(): void {
    this.commit();
  }
  /** The state so far is one from which the instruction can be started again. */
  restartPoint(): void {
    this.#committed = false;
    this.#accessed = false;
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, hint?: Hint): void {
    const before = this.#committed;
    let afterThen = before;
    super.if(
      condition,
      () => {
        then();
        afterThen = this.#committed;
        this.#committed = before;
      },
      otherwise,
      hint,
    );
    this.#committed ||= afterThen;
  }
  /** An `if` whose `then` leaves the instruction (by a fault or a jump): what it commits does not count afterwards. */
  leaveIf(condition: Value, then: () => void): void {
    const before = this.#committed;
    super.if(condition, then, undefined, 'unlikely');
    this.#committed = before;
  }
  override loop(fill: (again: Label) => void): void {
    const accessed = this.#accessed;
    this.#accessed = false;
    super.loop(fill);
    if (this.#committed && this.#accessed)
      throw new TypeError('a loop that accesses and commits needs a restart point');
    this.#accessed ||= accessed;
  }
}
