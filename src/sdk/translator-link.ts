/**
 * How the thread of a machine and the thread that compiles regions for it speak with each other. Neither returns to its event
 * loop, so requests and replies go through shared memory, as bytes.
 */
import { createMessageReader, createMessageWriter } from '../base/messages.ts';
import { createRingBuffer, openRing } from '../base/ring.ts';
import { createBuffer } from '../base/shared-memory.ts';
import type { CompiledRegion, CompilerPort, RegionReply, RegionRequest } from '../cpu/translator/compiler.ts';
import { SWITCH } from '../cpu/translator/region.ts';

/** Words that all links of a translator share. */
const WORDS = {
  /** Requests sent so far. */
  requests: 0,
  /** 1: whoever sends a request has to wake the translator. */
  asleep: 1,
  count: 2,
} as const;

/** Room for what is under way, in bytes; what finds none waits. */
const ROOM = { requests: 256 * 1024, replies: 1024 * 1024 } as const;

/** Both ends open the same link. */
export interface TranslatorLink {
  readonly words: ArrayBufferLike;
  /** One word: replies whose code the machine's thread has compiled, or thrown away. */
  readonly taken: ArrayBufferLike;
  readonly requests: ArrayBufferLike;
  readonly replies: ArrayBufferLike;
}

/** Links of so many threads to one translator. */
export function createTranslatorLinks(count: number): TranslatorLink[] {
  const words = createBuffer(WORDS.count * 4);
  return Array.from({ length: count }, () => ({
    words,
    taken: createBuffer(4),
    requests: createRingBuffer(ROOM.requests),
    replies: createRingBuffer(ROOM.replies),
  }));
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
  const taken = new Int32Array(link.taken);
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
      Atomics.add(taken, 0, 1);
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

/** The translator's end of one link. */
function openClient(link: TranslatorLink) {
  const taken = new Int32Array(link.taken);
  const receive = createMessageReader(openRing(link.requests));
  const replies = createMessageWriter(openRing(link.replies));
  /**
   * What was not taken yet. The engine keeps the code of a module that is alive for whoever has the same bytes, so that the
   * machine's thread gets it without compiling.
   */
  const held: (WebAssembly.Module | undefined)[] = [];
  let sent = 0;
  return {
    /** The next request; none while there is no room for replies: a thread that stands still takes none, and needs none. */
    next(): RegionRequest | undefined {
      const message = replies.flush() ? receive() : undefined;
      return message && unpackRequest(message);
    },
    send(reply: RegionReply): void {
      held.push(reply.made?.module);
      sent++;
      held.splice(0, held.length - (sent - Atomics.load(taken, 0)));
      replies.send(packReply(reply));
    },
    /** Whether replies wait for room. */
    waits: () => !replies.flush(),
  };
}

/** The translator's end: answers requests that come by any of the links, in turns, for ever. Throws what `compile` throws. */
export function serveCompiler(
  links: readonly TranslatorLink[],
  compile: (request: RegionRequest) => RegionReply,
): never {
  const words = new Int32Array(links[0].words);
  const clients = links.map(openClient);
  /** Answers one request of each; whether there was any. */
  function answer(): boolean {
    let any = false;
    for (const { next, send } of clients) {
      const request = next();
      if (request === undefined) continue;
      send(compile(request));
      any = true;
    }
    return any;
  }

  let naps = 0;
  for (;;) {
    const seen = Atomics.load(words, WORDS.requests);
    if (answer()) naps = 0;
    else if (naps < NAP.most) {
      naps++;
      Atomics.wait(words, WORDS.requests, seen, NAP.ms);
    } else if (clients.some(({ waits }) => waits())) naps = 0;
    else {
      Atomics.store(words, WORDS.asleep, 1);
      Atomics.wait(words, WORDS.requests, seen, LONGEST_SLEEP_MS);
      Atomics.store(words, WORDS.asleep, 0);
    }
  }
}
