/** The page of `npm run demo:web`: the default guest, as often as the visitor likes. */
import '../../src/browser/index.ts';

/** What the server says of the guest: attributes of `<virts-machine>`. */
const guest = (await (await fetch('guest.json')).json()) as Readonly<Record<string, string>>;

function addMachine(): void {
  const machine = document.createElement('virts-machine');
  for (const [name, value] of Object.entries(guest)) machine.setAttribute(name, value);
  const close = document.createElement('button');
  close.textContent = 'Close this machine';
  close.addEventListener('click', () => {
    machine.remove();
    close.remove();
  });
  document.querySelector('main')?.append(machine, close);
  machine.addEventListener('started', () => machine.focus());
}

document.querySelector('#another')?.addEventListener('click', addMachine);
addMachine();
