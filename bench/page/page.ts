/** The page of a benchmark: one machine, whose serial port is the process's that opened the page. */
import { fetchBootFile } from '../../src/browser/index.ts';
import { startMachine } from '../../src/browser/start-machine.ts';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu-interface.ts';

export interface PageMachine {
  readonly append: string;
  readonly memory: number;
}

declare global {
  /** Takes what the guest wrote, a character a byte. */
  function virtsOutput(text: string): Promise<void>;
}

async function start({ append, memory }: PageMachine) {
  const [kernel, initrd] = await Promise.all([fetchBootFile('kernel'), fetchBootFile('initrd')]);
  const machine = await startMachine({
    ...{ kernel, initrd, append, memory },
    cpus: 1,
    reboot: false,
    translation: DEFAULT_TRANSLATION,
  });
  machine.onOutput((bytes) => virtsOutput(String.fromCharCode(...bytes)));
  return {
    input: (text: string) => machine.input(Uint8Array.from(text, (character) => character.charCodeAt(0))),
    ended: async () => (await machine.ended).reason,
  };
}

let running: ReturnType<typeof start> | undefined;

Object.assign(globalThis, {
  virtsStart: async (options: PageMachine) => {
    running = start(options);
    await running;
  },
  virtsInput: async (text: string) => (await running)?.input(text),
  virtsEnded: async () => (await running)?.ended(),
});
