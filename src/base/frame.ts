/** An Ethernet frame on its way between a network card and a network, and how the two pass it on. */

/** The largest frame: an Ethernet header and an IP packet of 65,535 bytes. */
export const MAX_FRAME = 14 + 65_535;

export interface Frame {
  /** From the destination address on, without the check sequence. They belong to whoever was given the frame. */
  readonly bytes: Uint8Array;
  /** The frame stands for several TCP segments of so many bytes of payload each; 0 where it is what it seems. */
  readonly segmentSize: number;
  /**
   * Where the bytes start whose checksum is still missing, 0 where none is. They run to the end of the frame, and the
   * checksum's place holds the sum over the pseudo header.
   */
  readonly checksumStart: number;
  /** From there to the place of the checksum. */
  readonly checksumOffset: number;
}

/** What a receiver accepts beyond plain frames. */
export interface Offloads {
  /** Frames whose checksum is missing. */
  readonly checksum: boolean;
  /** Frames that stand for many TCP segments, over IPv4 and over IPv6; only with `checksum`. */
  readonly segments4: boolean;
  readonly segments6: boolean;
}

export const NO_OFFLOADS: Offloads = { checksum: false, segments4: false, segments6: false };

/** One direction of a wire, as its sender sees it. */
export interface FrameSink {
  /** Takes a frame, or says that there is no room: the frame then goes the way of all lost ones, or is offered again. */
  send(frame: Frame): boolean;
  /** What the receiver accepts at present. A frame beyond that is lost. */
  offloads(): Offloads;
}

/** A frame that needs nothing done to it. */
export function plainFrame(bytes: Uint8Array): Frame {
  return { bytes, segmentSize: 0, checksumStart: 0, checksumOffset: 0 };
}
