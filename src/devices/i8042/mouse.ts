/** The PS/2 mouse's side of the protocol, with the wheel and five-button extensions of the IntelliMouse. */
import { clearQueue, enqueue, type I8042State, type Queue, queueRoom } from './state.ts';

const ACK = 0xfa;
const ERROR = 0xfe;
const TEST_PASSED = 0xaa;

const SET_RESOLUTION = 0xe8;
const SET_RATE = 0xf3;

/** Movement that nobody collects stops adding up here. */
const MAX_PENDING = 32_767;

export function mouseReplies(s: I8042State): Queue {
  return { bytes: s.mouseReplies, ends: s.mouseRepliesEnds };
}

export function mouseQueue(s: I8042State): Queue {
  return { bytes: s.mouseQueue, ends: s.mouseQueueEnds };
}

function forgetMovement(s: I8042State): void {
  clearQueue(mouseQueue(s));
  s.mouseX = 0;
  s.mouseY = 0;
  s.mouseZ = 0;
  s.mouseReportedButtons = s.mouseButtons;
}

function setDefaults(s: I8042State): void {
  forgetMovement(s);
  s.mouseReporting = 0;
  s.mouseRemote = 0;
  s.mouseScaling = 0;
  s.mouseResolution = 2;
  s.mouseRate = 100;
  s.mouseEarlierRates.fill(0);
}

/** As after power-on and its self-test. The buttons stay as the user holds them. */
export function resetMouse(s: I8042State): void {
  setDefaults(s);
  clearQueue(mouseReplies(s));
  s.mouseWrap = 0;
  s.mouseId = 0;
  s.mouseCommand = 0;
  s.mouseLast = 0;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

/** The 2:1 scaling of stream mode: a curve for small movements, double for the rest. */
function scale(s: I8042State, movement: number): number {
  if (s.mouseScaling === 0 || s.mouseRemote !== 0) return movement;
  const size = Math.abs(movement);
  const scaled = [0, 1, 1, 3, 6, 9][size] ?? size * 2;
  return clamp(Math.sign(movement) * scaled, -255, 255);
}

/** One movement packet of 3 or 4 bytes, with as much of what is pending as it can hold. */
function takePacket(s: I8042State): number[] {
  const [x, y] = [clamp(s.mouseX, -255, 255), clamp(s.mouseY, -255, 255)];
  const z = s.mouseId === 0 ? s.mouseZ : clamp(s.mouseZ, -8, 7);
  s.mouseX -= x;
  s.mouseY -= y;
  s.mouseZ -= z;
  s.mouseReportedButtons = s.mouseButtons;
  const packet = [
    (s.mouseButtons & 7) | 0x08 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0),
    scale(s, x) & 0xff,
    scale(s, y) & 0xff,
  ];
  if (s.mouseId === 3) packet.push(z & 0xff);
  if (s.mouseId === 4) packet.push((z & 0x0f) | ((s.mouseButtons & 0x18) << 1));
  return packet;
}

function isStreaming(s: I8042State): boolean {
  return s.mouseReporting !== 0 && s.mouseRemote === 0 && s.mouseWrap === 0;
}

/**
 * In stream mode, queues the pending movement once earlier packets have gone out, so that a slow guest gets fewer,
 * longer movements.
 */
export function streamMovement(s: I8042State): void {
  if (!isStreaming(s) || s.mouseQueueEnds[1] !== 0) return;
  const moved = s.mouseX !== 0 || s.mouseY !== 0 || s.mouseZ !== 0 || s.mouseButtons !== s.mouseReportedButtons;
  if (moved) enqueue(mouseQueue(s), ...takePacket(s));
}

/** Movement from the host: right and up, wheel toward the user, buttons as a mask. Every change of buttons is sent. */
export function moveMouse(s: I8042State, x: number, y: number, buttons: number, wheel: number): void {
  const add = (pending: number, more: number) => clamp(Math.trunc(pending + more) || 0, -MAX_PENDING, MAX_PENDING);
  s.mouseButtons = buttons & 0x1f;
  if (s.mouseReporting === 0 && s.mouseRemote === 0) {
    s.mouseReportedButtons = s.mouseButtons;
    return;
  }
  s.mouseX = add(s.mouseX, x);
  s.mouseY = add(s.mouseY, y);
  s.mouseZ = add(s.mouseZ, wheel);
  const clicked = s.mouseButtons !== s.mouseReportedButtons;
  if (clicked && isStreaming(s) && queueRoom(mouseQueue(s)) >= 4) enqueue(mouseQueue(s), ...takePacket(s));
}

function setRate(s: I8042State, rate: number): void {
  const [first, second] = s.mouseEarlierRates;
  if (first === 200 && rate === 80) {
    if (second === 100 && s.mouseId === 0) s.mouseId = 3;
    if (second === 200) s.mouseId = 4;
  }
  s.mouseEarlierRates.set([second, rate]);
  s.mouseRate = rate;
}

function statusBytes(s: I8042State): number[] {
  const modes = (s.mouseRemote << 6) | (s.mouseReporting << 5) | (s.mouseScaling << 4);
  const buttons = ((s.mouseButtons & 1) << 2) | ((s.mouseButtons & 4) >> 1) | ((s.mouseButtons & 2) >> 1);
  return [modes | buttons, s.mouseResolution, s.mouseRate];
}

function writeOperand(s: I8042State, command: number, value: number): void {
  if (command === SET_RATE) setRate(s, value);
  else s.mouseResolution = value & 3;
  enqueue(mouseReplies(s), ACK);
}

/** What a command changes; returns the bytes of the answer. */
function execute(s: I8042State, command: number): number[] {
  switch (command) {
    case 0xe6:
    case 0xe7:
      s.mouseScaling = command & 1;
      return [ACK];
    case SET_RESOLUTION:
    case SET_RATE:
      s.mouseCommand = command;
      return [ACK];
    case 0xe9:
      return [ACK, ...statusBytes(s)];
    case 0xea:
    case 0xf0:
      s.mouseRemote = command === 0xf0 ? 1 : 0;
      forgetMovement(s);
      return [ACK];
    case 0xeb:
      return [ACK, ...takePacket(s)];
    case 0xec:
    case 0xee:
      s.mouseWrap = command === 0xee ? 1 : 0;
      return [ACK];
    case 0xf2:
      return [ACK, s.mouseId];
    case 0xf4:
    case 0xf5:
      s.mouseReporting = command === 0xf4 ? 1 : 0;
      forgetMovement(s);
      return [ACK];
    case 0xf6:
      setDefaults(s);
      return [ACK];
    case 0xfe:
      return [s.mouseLast];
    case 0xff:
      resetMouse(s);
      return [ACK, TEST_PASSED, s.mouseId];
    default:
      return [ERROR];
  }
}

/** A byte from the controller: a command, the operand of the one before, or in wrap mode anything at all. */
export function writeMouse(s: I8042State, value: number): void {
  const command = s.mouseCommand;
  s.mouseCommand = 0;
  if (s.mouseWrap !== 0 && value !== 0xec && value !== 0xff) enqueue(mouseReplies(s), value);
  else if (command !== 0) writeOperand(s, command, value);
  else enqueue(mouseReplies(s), ...execute(s, value));
}
