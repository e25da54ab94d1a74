/**
 * How the thread of a machine and the thread that compiles regions for it speak with each other. Neither returns to its event
 * loop, so requests and replies go through shared memory, as bytes.
 */
import { createMessageReader, createMessageWriter } from '../base/messages.ts';
import { createRingBuffer, openRing } from '../base/ring.ts';
import { createBuffer } from '../base/shared-memory.ts';
import type { CompiledRegion, CompilerPort, RegionReply, RegionRequest } from '../cpu/translator/compiler.ts';
import { SWITCH } from '../cpu/translator/region.ts';

/** Shared words. */
const WORDS = {
  /** Requests sent so far. */
  requests: 0,
  /** Replies whose code the machine's thread has compiled, or thrown away. */
  taken: 1,
  /** 1: whoever sends a request has to wake the translator. */
  asleep: 2,
  count: 3,
} as const;

/** Room for what is under way, in bytes; what finds none waits. */
const ROOM = { requests: 256 * 1024, replies: 1024 * 1024 } as const;

/** Both ends open the same link. */
export interface TranslatorLink {
  readonly words: ArrayBufferLike;
  readonly requests: ArrayBufferLike;
  readonly replies: ArrayBufferLike;
}

export function createTranslatorLink(): TranslatorLink {
  return {
    words: createBuffer(WORDS.count * 4),
    requests: createRingBuffer(ROOM.requests),
    replies: createRingBuffer(ROOM.replies),
  };
}

/** A value in JSON, behind the length of that, and bytes as they are. */
function pack(value: object, bytes: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const message = new Uint8Array(4 + text.length + bytes.length);
  new DataView(message.buffer).setUint32(0, text.length, true);
  message.set(text, 4);
  message.set(bytes, 4 + text.length);
  return message;
}

function unpack(message: Uint8Array<ArrayBuffer>): { value: unknown; bytes: Uint8Array<ArrayBuffer> } {
  const end = 4 + new DataView(message.buffer).getUint32(0, true);
  return { value: JSON.parse(new TextDecoder().decode(message.subarray(4, end))), bytes: message.subarray(end) };
}

function packRequest({ code, ...rest }: RegionRequest): Uint8Array {
  return pack(rest, code);
}

/** JSON has no infinite numbers and writes null for `SWITCH`. */
type Place = number | null;
type SentRequest = Omit<RegionRequest, 'code' | 'blocks'> & {
  readonly blocks: readonly (Omit<RegionRequest['blocks'][number], 'offset' | 'successors'> & {
    readonly offset: Place;
    readonly successors: readonly Place[];
  })[];
};

function unpackRequest(message: Uint8Array<ArrayBuffer>): RegionRequest {
  const { value, bytes } = unpack(message);
  const { blocks, ...rest } = value as SentRequest;
  const place = (sent: Place) => sent ?? SWITCH;
  return {
    ...rest,
    code: bytes,
    blocks: blocks.map((block) => ({
      ...block,
      offset: place(block.offset),
      successors: block.successors.map(place),
    })),
  };
}

type SentReply = Omit<RegionReply, 'made'> & { readonly made?: Omit<CompiledRegion, 'bytes' | 'module'> };

function packReply({ made, ...rest }: RegionReply): Uint8Array {
  if (made === undefined) return pack(rest, new Uint8Array());
  const { imports, cells, bytes } = made;
  return pack({ ...rest, made: { imports, cells } } satisfies SentReply, bytes);
}

function unpackReply(message: Uint8Array<ArrayBuffer>): RegionReply {
  const { value, bytes } = unpack(message);
  const { made, ...rest } = value as SentReply;
  return made === undefined ? rest : { ...rest, made: { ...made, bytes, module: new WebAssembly.Module(bytes) } };
}

/** The machine's end. */
export function openCompiler(link: TranslatorLink): CompilerPort {
  const words = new Int32Array(link.words);
  const requests = createMessageWriter(openRing(link.requests));
  const receive = createMessageReader(openRing(link.replies));
  return {
    post(request) {
      requests.send(packRequest(request));
      Atomics.add(words, WORDS.requests, 1);
      if (Atomics.load(words, WORDS.asleep) !== 0) Atomics.notify(words, WORDS.requests);
    },
    take() {
      requests.flush();
      const message = receive();
      if (message === undefined) return undefined;
      const reply = unpackReply(message);
      Atomics.add(words, WORDS.taken, 1);
      return reply;
    },
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
  const receive = createMessageReader(openRing(link.requests));
  const replies = createMessageWriter(openRing(link.replies));
  /**
   * What was not taken yet. The engine keeps the code of a module that is alive for whoever has the same bytes, so that the
   * machine's thread gets it without compiling.
   */
  const held: (WebAssembly.Module | undefined)[] = [];
  let sent = 0;

  function send(reply: RegionReply): void {
    held.push(reply.made?.module);
    sent++;
    held.splice(0, held.length - (sent - Atomics.load(words, WORDS.taken)));
    replies.send(packReply(reply));
    // A machine that stands still takes nothing, and needs nothing.
    while (!replies.flush()) Atomics.wait(words, WORDS.taken, Atomics.load(words, WORDS.taken), NAP.ms);
  }

  let naps = 0;
  for (;;) {
    const seen = Atomics.load(words, WORDS.requests);
    const message = receive();
    if (message !== undefined) {
      naps = 0;
      send(compile(unpackRequest(message)));
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
