/**
 * How the thread of a machine and the thread that compiles regions for it speak with each other. Both never return to their
 * event loops, and both are told by words in shared memory whether there is a message: to ask for one costs much more.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { CompilerPort, RegionReply, RegionRequest } from '../cpu/translator/compiler.ts';

/** Shared words. */
const WORDS = {
  /** Requests and replies sent so far. */
  requests: 0,
  replies: 1,
  /** 1: whoever sends a request has to wake the translator. */
  asleep: 2,
  count: 3,
} as const;

/** One end of the link. */
export interface TranslatorLink {
  readonly port: MessagePort;
  readonly words: SharedArrayBuffer;
}

/** A link: the machine's end, and the translator's. */
export function createTranslatorLink(): { readonly machine: TranslatorLink; readonly translator: TranslatorLink } {
  const { port1, port2 } = new MessageChannel();
  const words = new SharedArrayBuffer(WORDS.count * 4);
  return { machine: { port: port1, words }, translator: { port: port2, words } };
}

/** Takes messages that are counted in a word. */
function receiver<Message>({ port }: TranslatorLink, words: Int32Array, word: number): () => Message | undefined {
  let taken = 0;
  return () => {
    if (Atomics.load(words, word) === taken) return undefined;
    taken = (taken + 1) | 0;
    return receiveMessageOnPort(port)?.message as Message;
  };
}

/** The machine's end. */
export function openCompiler(link: TranslatorLink): CompilerPort {
  const words = new Int32Array(link.words);
  return {
    post(request) {
      link.port.postMessage(request);
      Atomics.add(words, WORDS.requests, 1);
      if (Atomics.load(words, WORDS.asleep) !== 0) Atomics.notify(words, WORDS.requests);
    },
    take: receiver<RegionReply>(link, words, WORDS.replies),
  };
}

/**
 * Where code becomes hot, more will soon. To wake a thread costs the one that does it up to 0.3 ms, so the translator looks
 * again by itself for a while: time between looks in milliseconds, and how many of them find nothing before it sleeps.
 */
const NAP = { ms: 1, most: 100 } as const;
const LONGEST_SLEEP_MS = 1000;

/** The translator's end: answers requests for ever. Throws what `compile` throws. */
export function serveCompiler(link: TranslatorLink, compile: (request: RegionRequest) => RegionReply): never {
  const words = new Int32Array(link.words);
  const take = receiver<RegionRequest>(link, words, WORDS.requests);
  let naps = 0;
  for (;;) {
    const seen = Atomics.load(words, WORDS.requests);
    const request = take();
    if (request !== undefined) {
      naps = 0;
      link.port.postMessage(compile(request));
      Atomics.add(words, WORDS.replies, 1);
    } else if (naps < NAP.most) {
      naps++;
      Atomics.wait(words, WORDS.requests, seen, NAP.ms);
    } else {
      Atomics.store(words, WORDS.asleep, 1);
      Atomics.wait(words, WORDS.requests, seen, LONGEST_SLEEP_MS);
      Atomics.store(words, WORDS.asleep, 0);
    }
  }
}
