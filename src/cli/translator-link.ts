/** How the thread of a machine and the thread that compiles regions for it speak with each other. */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { CompilerPort, RegionReply, RegionRequest } from '../cpu/translator/compiler.ts';

/** One end of the link. */
export interface TranslatorLink {
  readonly port: MessagePort;
  /** An i32: replies sent so far. To look at it costs next to nothing, unlike to look for a message. */
  readonly sent: SharedArrayBuffer;
}

/** A link: the machine's end, and the translator's. */
export function createTranslatorLink(): { readonly machine: TranslatorLink; readonly translator: TranslatorLink } {
  const { port1, port2 } = new MessageChannel();
  const sent = new SharedArrayBuffer(4);
  return { machine: { port: port1, sent }, translator: { port: port2, sent } };
}

/** Asks for regions. The thread need never return to its event loop. */
export function openCompiler({ port, sent }: TranslatorLink): CompilerPort {
  const replies = new Int32Array(sent);
  let taken = 0;
  return {
    post: (request) => port.postMessage(request),
    take() {
      if (Atomics.load(replies, 0) === taken) return undefined;
      taken = (taken + 1) | 0;
      return receiveMessageOnPort(port)?.message as RegionReply;
    },
  };
}

/** Answers what is asked at the other end; `failed` is told what `compile` throws. */
export function serveCompiler(
  { port, sent }: TranslatorLink,
  compile: (request: RegionRequest) => RegionReply,
  failed: (error: unknown) => void,
): void {
  const replies = new Int32Array(sent);
  port.on('message', (request: RegionRequest) => {
    try {
      port.postMessage(compile(request));
      Atomics.add(replies, 0, 1);
    } catch (error) {
      failed(error);
    }
  });
}
