/** Runs a network on Node's event loop, at the other end of a machine's wire. */
import type { FrameSink } from '../../base/frame.ts';
import { type Attached, type NetLink, openNetworkEnd } from '../link.ts';

/** Frames at a time, so that others on the event loop get their turn. */
const MOST_FRAMES = 64;

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface Service {
  /** Takes no more frames. */
  close(): void;
}

/** Serves the wire with what `attach` makes. `wake` gets the machine's thread to look at its devices. */
export function serveNetLink(link: NetLink, wake: () => void, attach: (wire: FrameSink) => Attached): Service {
  const end = openNetworkEnd(link, wake);
  const network = attach(end.wire);
  let open = true;

  /** Whether there may be more to do. */
  function work(): boolean {
    if (end.restarted()) network.reset();
    if (end.roomAgain()) network.wireReady();
    for (let left = MOST_FRAMES; left > 0; left--) {
      const frame = end.receive();
      if (frame === undefined) {
        network.settle();
        return false;
      }
      network.receive(frame);
    }
    network.settle();
    return true;
  }

  async function serve(): Promise<void> {
    while (open) {
      const more = work();
      const { value, idle } = end.sleep();
      if (more || !idle) await nextTurn();
      else {
        const wait = Atomics.waitAsync(end.words, end.kickWord, value);
        await (wait.async ? wait.value : nextTurn());
      }
      end.awake();
    }
  }
  void serve();

  return {
    close() {
      open = false;
      Atomics.add(end.words, end.kickWord, 1);
      Atomics.notify(end.words, end.kickWord);
    },
  };
}
