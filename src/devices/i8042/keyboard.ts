/** The PS/2 keyboard's side of the protocol (IBM PS/2 Technical Reference, "Keyboard"). */
import { toSet1 } from './scancodes.ts';
import { clearQueue, enqueue, type I8042State, type Queue, queueRoom } from './state.ts';

const ACK = 0xfa;
const RESEND = 0xfe;
const TEST_PASSED = 0xaa;
const ECHO = 0xee;
const IDENTITY = [0xab, 0x83];

const SET_LEDS = 0xed;
const SCAN_CODE_SET = 0xf0;
const SET_TYPEMATIC = 0xf3;

/** 10.9 characters a second after 500 ms. */
const DEFAULT_TYPEMATIC = 0x2b;

export function keyboardReplies(s: I8042State): Queue {
  return { bytes: s.keyboardReplies, ends: s.keyboardRepliesEnds };
}

export function keyboardQueue(s: I8042State): Queue {
  return { bytes: s.keyboardQueue, ends: s.keyboardQueueEnds };
}

function setDefaults(s: I8042State): void {
  clearQueue(keyboardQueue(s));
  s.keyboardSet = 2;
  s.keyboardTypematic = DEFAULT_TYPEMATIC;
}

/** As after power-on and its self-test, scanning. */
export function resetKeyboard(s: I8042State): void {
  setDefaults(s);
  clearQueue(keyboardReplies(s));
  s.keyboardLeds = 0;
  s.keyboardScanning = 1;
  s.keyboardCommand = 0;
  s.keyboardLast = 0;
}

function writeOperand(s: I8042State, command: number, value: number): void {
  const replies = keyboardReplies(s);
  enqueue(replies, ACK);
  if (command === SET_LEDS) s.keyboardLeds = value & 7;
  else if (command === SET_TYPEMATIC) s.keyboardTypematic = value & 0x7f;
  else if (value === 0) enqueue(replies, s.keyboardSet);
  // Set 3, which few keyboards implement, leaves the set as it is; software asks which one it got.
  else if (value <= 2) s.keyboardSet = value;
}

/** A byte from the controller: a command, or the operand of the one before. */
export function writeKeyboard(s: I8042State, value: number): void {
  const replies = keyboardReplies(s);
  const command = s.keyboardCommand;
  s.keyboardCommand = 0;
  // A byte with bit 7 set is no operand: a new command takes the place of the one that waited.
  if (command !== 0 && value < 0x80) {
    writeOperand(s, command, value);
    return;
  }
  switch (value) {
    case SET_LEDS:
    case SCAN_CODE_SET:
    case SET_TYPEMATIC:
      s.keyboardCommand = value;
      enqueue(replies, ACK);
      break;
    case ECHO:
      enqueue(replies, ECHO);
      break;
    case 0xf2:
      enqueue(replies, ACK, ...IDENTITY);
      break;
    case 0xf4:
      s.keyboardScanning = 1;
      clearQueue(keyboardQueue(s));
      enqueue(replies, ACK);
      break;
    case 0xf5:
    case 0xf6:
      s.keyboardScanning = value === 0xf6 ? 1 : 0;
      setDefaults(s);
      enqueue(replies, ACK);
      break;
    // Which keys repeat and send breaks matters to scan code set 3 only.
    case 0xf7:
    case 0xf8:
    case 0xf9:
    case 0xfa:
      enqueue(replies, ACK);
      break;
    case 0xfe:
      enqueue(replies, s.keyboardLast);
      break;
    case 0xff:
      resetKeyboard(s);
      enqueue(replies, ACK, TEST_PASSED);
      break;
    default:
      enqueue(replies, RESEND);
  }
}

/** Keys from the host, in scan code set 2; `false` if there is no room for the whole sequence. */
export function pressKeys(s: I8042State, codes: Iterable<number>): boolean {
  if (s.keyboardScanning === 0) return true;
  const sequence = s.keyboardSet === 1 ? toSet1(codes) : Array.from(codes);
  const queue = keyboardQueue(s);
  if (queueRoom(queue) < sequence.length) return false;
  enqueue(queue, ...sequence);
  return true;
}
