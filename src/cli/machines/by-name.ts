/** Which machine a user means. It loads nothing that checks what is in the state directory, so that short commands can use it too. */
import { VirtsError } from '../../base/errors.ts';

export interface NamedMachine {
  readonly id: string;
  readonly name: string | undefined;
}

export function noSuchMachine(name: string): VirtsError {
  return new VirtsError('not-found', `There is no machine ${name}; 'virts ps -a' lists them.`, { name });
}

/** By name, id, or the beginning of an id that no other has. @throws VirtsError `not-found`, `usage`. */
export function machineByName<M extends NamedMachine>(name: string, machines: readonly M[]): M {
  const exact = machines.find((machine) => machine.name === name || machine.id === name);
  if (exact !== undefined) return exact;
  const [first, second] = /^[0-9a-f]+$/.test(name) ? machines.filter(({ id }) => id.startsWith(name)) : [];
  if (first === undefined) throw noSuchMachine(name);
  if (second !== undefined) {
    throw new VirtsError('usage', `Several machines have ids that begin with ${name}; give more of it.`, { name });
  }
  return first;
}
