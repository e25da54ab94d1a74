/** Frames over a socket of the host, both ways. Whoever does not read loses frames, as on any Ethernet. */
import type { Socket } from 'node:net';
import { type Frame, MAX_FRAME } from '../../base/frame.ts';
import { frameOf, RECORD_HEADER, recordLength, writeRecordHeader } from '../frame-record.ts';

/** Bytes that may wait in a socket to be sent; frames that come on top are lost. */
const MOST_QUEUED = 4 * 1024 * 1024;

export interface FrameSocket {
  /** Sends a frame, which is its to keep; `false`: it is lost. */
  send(frame: Frame): boolean;
}

/**
 * Passes frames over a connected socket. `received` is handed each frame that comes, which is its to keep; on one that
 * cannot be, the socket is destroyed.
 */
export function openFrameSocket(socket: Socket, received: (frame: Frame) => void): FrameSocket {
  let input: Buffer = Buffer.alloc(0);
  let corked = false;

  function take(): void {
    let at = 0;
    while (input.length - at >= RECORD_HEADER) {
      const length = recordLength(input, at);
      if (length > MAX_FRAME) {
        socket.destroy();
        return;
      }
      if (input.length - at < RECORD_HEADER + length) break;
      received(frameOf(input, at));
      at += RECORD_HEADER + length;
    }
    input = input.subarray(at);
  }

  socket.on('data', (bytes: Buffer) => {
    input = input.length === 0 ? bytes : Buffer.concat([input, bytes]);
    take();
  });

  return {
    send(frame) {
      if (!socket.writable || socket.writableLength > MOST_QUEUED) return false;
      // Those of one turn go out by one call of the host's.
      if (!corked) {
        corked = true;
        socket.cork();
        setImmediate(() => {
          corked = false;
          socket.uncork();
        });
      }
      const header = new Uint8Array(RECORD_HEADER);
      writeRecordHeader(header, frame);
      socket.write(header);
      socket.write(frame.bytes);
      return true;
    },
  };
}
