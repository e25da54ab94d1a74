/** What `<virts-machine>` shows: a line that says what is going on, and the terminal. */
import { Terminal } from '@xterm/xterm';
import terminalStyle from '@xterm/xterm/css/xterm.css?inline';
import type { RunningMachine } from '../sdk/machine-host.ts';

/** What a serial line cannot tell the guest: it takes this to be the size of its terminal. */
const SIZE = { cols: 80, rows: 24 } as const;
const SCROLLBACK = 5000;

const STYLE = `
  :host { display: inline-block; background: #000; color: #ccc; font: 14px/1.4 system-ui, sans-serif; }
  .notice, .status { margin: 0; padding: 0.4em 0.6em; max-width: 60em; }
  .notice { background: #553c00; color: #ffe9b0; }
  .status.failed { background: #5a1010; color: #ffd0d0; }
  .status progress { margin-left: 0.6em; vertical-align: middle; }
  [hidden] { display: none; }
`;

export interface View {
  /** Stays above the rest until it is replaced. */
  notice(sentence: string | undefined): void;
  /** What is going on; `part` from 0 to 1 where there is a measure of it. */
  status(sentence: string | undefined, part?: number): void;
  failed(sentence: string): void;
  /** Connects a machine with an empty terminal; returns a function that parts them. */
  connect(machine: RunningMachine): () => void;
  focus(): void;
  /** Takes everything out of the root and gives back what the terminal holds. */
  dispose(): void;
  /** The last `SCROLLBACK` lines of the terminal, without blanks at their ends. */
  text(): string;
}

function element<K extends keyof HTMLElementTagNameMap>(parent: Node, tag: K, name: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = name;
  parent.appendChild(made);
  return made;
}

/** What `onBinary` gives holds a byte in each character. */
const bytesOf = (characters: string) => Uint8Array.from(characters, (character) => character.charCodeAt(0));

export function createView(root: ShadowRoot): View {
  element(root, 'style', '').textContent = terminalStyle + STYLE;
  const notice = element(root, 'p', 'notice');
  const status = element(root, 'p', 'status');
  status.setAttribute('role', 'status');
  const sentence = element(status, 'span', '');
  const bar = element(status, 'progress', '');
  const screen = element(root, 'div', 'screen');
  const terminal = new Terminal({ ...SIZE, scrollback: SCROLLBACK, fontFamily: 'monospace' });
  let opened = false;

  function show(text: string | undefined, part: number | undefined, failed: boolean): void {
    status.hidden = text === undefined;
    sentence.textContent = text ?? '';
    status.classList.toggle('failed', failed);
    bar.hidden = part === undefined;
    bar.value = part ?? 0;
  }
  show(undefined, undefined, false);
  notice.hidden = true;

  return {
    notice(text) {
      notice.hidden = text === undefined;
      notice.textContent = text ?? '';
    },
    status: (text, part) => show(text, part, false),
    failed: (text) => show(text, undefined, true),
    connect(machine) {
      if (opened) terminal.reset();
      else terminal.open(screen);
      opened = true;
      const encoder = new TextEncoder();
      const send = (bytes: Uint8Array) => void Promise.resolve(machine.input(bytes)).catch(() => {});
      const listeners = [
        terminal.onData((text) => send(encoder.encode(text))),
        terminal.onBinary((characters) => send(bytesOf(characters))),
      ];
      machine.onOutput((bytes) => new Promise((taken) => terminal.write(bytes, taken)));
      return () => {
        for (const listener of listeners) listener.dispose();
      };
    },
    focus: () => terminal.focus(),
    dispose() {
      terminal.dispose();
      root.replaceChildren();
    },
    text() {
      const { active } = terminal.buffer;
      const lines = Array.from({ length: active.length }, (_, i) => active.getLine(i)?.translateToString(true) ?? '');
      return lines.join('\n').trimEnd();
    },
  };
}
