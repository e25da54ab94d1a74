/** The keyboard controller's struct: the controller, the keyboard and the mouse behind it, and their queues. */
import { type StructView, struct } from '../../base/struct.ts';

export const i8042Schema = struct('i8042', 1, {
  /** The controller's memory; byte 0 is the configuration byte. */
  ram: ['u8', 32],
  a20: 'u8',
  /** The output buffer: its byte, whether it is full, and whether it came from the mouse. */
  output: 'u8',
  outputFull: 'u8',
  outputFromMouse: 'u8',
  /** An answer of the controller that waits for the output buffer: 0 none, 1 plain, 2 as if from the mouse. */
  replyKind: 'u8',
  reply: 'u8',
  /** The last write went to the command port. */
  commandWritten: 'u8',
  /** The command whose operand the data port expects, or 0. */
  command: 'u8',
  /** The keyboard sent a break prefix that translation folds into the next byte. */
  breakPrefix: 'u8',

  keyboardReplies: ['u8', 16],
  /** Of each queue: index of the oldest byte, number of bytes. */
  keyboardRepliesEnds: ['u8', 2],
  keyboardQueue: ['u8', 64],
  keyboardQueueEnds: ['u8', 2],
  keyboardCommand: 'u8',
  keyboardScanning: 'u8',
  keyboardLeds: 'u8',
  keyboardTypematic: 'u8',
  /** The scan code set: 1 or 2. */
  keyboardSet: 'u8',
  keyboardLast: 'u8',

  mouseReplies: ['u8', 16],
  mouseRepliesEnds: ['u8', 2],
  mouseQueue: ['u8', 64],
  mouseQueueEnds: ['u8', 2],
  mouseCommand: 'u8',
  /** Data reporting is enabled. */
  mouseReporting: 'u8',
  mouseRemote: 'u8',
  mouseWrap: 'u8',
  mouseScaling: 'u8',
  mouseResolution: 'u8',
  mouseRate: 'u8',
  /** The two sample rates set before the present one: a wheel is switched on by a sequence of three. */
  mouseEarlierRates: ['u8', 2],
  /** 0 plain, 3 with a wheel, 4 with a wheel and five buttons. */
  mouseId: 'u8',
  mouseButtons: 'u8',
  mouseReportedButtons: 'u8',
  mouseLast: 'u8',
  /** Movement not yet reported: right, up, wheel toward the user. */
  mouseX: 'i32',
  mouseY: 'i32',
  mouseZ: 'i32',
});

export type I8042State = StructView<(typeof i8042Schema)['fields']>;

/** A ring of bytes and, in `ends`, the index of its oldest byte and how many there are. */
export interface Queue {
  readonly bytes: Uint8Array;
  readonly ends: Uint8Array;
}

export function queueRoom(q: Queue): number {
  return q.bytes.length - q.ends[1];
}

/** Appends what fits; the rest is lost, as in a device whose buffer is full. */
export function enqueue(q: Queue, ...bytes: readonly number[]): void {
  for (const byte of bytes.slice(0, queueRoom(q))) {
    q.bytes[(q.ends[0] + q.ends[1]) % q.bytes.length] = byte;
    q.ends[1]++;
  }
}

export function dequeue(q: Queue): number | undefined {
  if (q.ends[1] === 0) return undefined;
  const byte = q.bytes[q.ends[0]];
  q.ends[0] = (q.ends[0] + 1) % q.bytes.length;
  q.ends[1]--;
  return byte;
}

export function clearQueue(q: Queue): void {
  q.bytes.fill(0);
  q.ends.fill(0);
}

export function isSoundQueue(q: Queue): boolean {
  return q.ends[0] < q.bytes.length && q.ends[1] <= q.bytes.length;
}
