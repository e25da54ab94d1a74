/** The PC's keyboard controller with a PS/2 keyboard and mouse (IBM PS/2 Technical Reference, "Keyboard controller"). */
import { byteRegion } from '../byte-region.ts';
import { allAtMost, checkState } from '../check-state.ts';
import type { Device, GuestLog, Line, Place } from '../device.ts';
import { keyboardQueue, keyboardReplies, pressKeys, resetKeyboard, writeKeyboard } from './keyboard.ts';
import { mouseQueue, mouseReplies, moveMouse, resetMouse, streamMovement, writeMouse } from './mouse.ts';
import { translate } from './scancodes.ts';
import { dequeue, type I8042State, i8042Schema, isSoundQueue } from './state.ts';

/** The configuration byte. */
const CONFIG = {
  keyboardInterrupt: 0x01,
  mouseInterrupt: 0x02,
  systemFlag: 0x04,
  keyboardDisabled: 0x10,
  mouseDisabled: 0x20,
  translate: 0x40,
} as const;

/** As firmware leaves it, for systems that are started without: keyboard on and translated, mouse off. */
const INITIAL_CONFIG = CONFIG.keyboardInterrupt | CONFIG.systemFlag | CONFIG.mouseDisabled | CONFIG.translate;

/** The status register; bit 2 is the configuration's system flag. */
const STATUS = { outputFull: 0x01, command: 0x08, notInhibited: 0x10, fromMouse: 0x20 } as const;

/** The first of 32 commands that read the controller's memory, one for each byte. */
const READ_RAM = 0x20;
/** The first of 16 commands that pulse lines of the output port. */
const PULSE_OUTPUT = 0xf0;

/** Commands with an operand at the data port. The first stands for 32, one for each byte of the memory. */
const WRITE_RAM = 0x60;
const WRITE_OUTPUT_PORT = 0xd1;
const WRITE_KEYBOARD_OUTPUT = 0xd2;
const WRITE_MOUSE_OUTPUT = 0xd3;
const WRITE_MOUSE = 0xd4;

/** The output port. */
const OUTPUT_NO_RESET = 0x01;
const OUTPUT_A20 = 0x02;

export interface I8042Options {
  readonly place: Place;
  /** To IRQ 1 and IRQ 12. */
  readonly keyboardIrq: Line;
  readonly mouseIrq: Line;
  /** High while the controller lets A20 through, as it does from power-on. */
  readonly a20: Line;
  /** Resets the processor. */
  reset(): void;
  readonly log: GuestLog;
}

export interface I8042 extends Device<(typeof i8042Schema)['fields']> {
  /**
   * Keys, as scan code set 2: e.g. 0x1c for A pressed, 0xf0 0x1c for A released. Returns `false`, and takes nothing,
   * while the keyboard's buffer has no room for them all.
   */
  key(scancodes: Iterable<number>): boolean;
  /**
   * Mouse movement in counts: `dx` to the right, `dy` down, `wheel` toward the user (down). `buttons` is the mask of
   * those held: 1 left, 2 right, 4 middle, 8 and 16 the side buttons.
   */
  mouse(dx: number, dy: number, buttons: number, wheel: number): void;
}

function takesOperand(command: number): boolean {
  return (command & 0xe0) === WRITE_RAM || (command >= WRITE_OUTPUT_PORT && command <= WRITE_MOUSE);
}

function takeReply(s: I8042State): number | undefined {
  if (s.replyKind === 0) return undefined;
  s.outputFromMouse = s.replyKind === 2 ? 1 : 0;
  s.replyKind = 0;
  return s.reply;
}

function takeKeyboard(s: I8042State): number | undefined {
  if ((s.ram[0] & CONFIG.keyboardDisabled) !== 0) return undefined;
  s.outputFromMouse = 0;
  for (;;) {
    const byte = dequeue(keyboardReplies(s)) ?? dequeue(keyboardQueue(s));
    if (byte === undefined) return undefined;
    s.keyboardLast = byte;
    const code = (s.ram[0] & CONFIG.translate) !== 0 ? translate(s, byte) : byte;
    if (code !== undefined) return code;
  }
}

function takeMouse(s: I8042State): number | undefined {
  if ((s.ram[0] & CONFIG.mouseDisabled) !== 0) return undefined;
  streamMovement(s);
  s.outputFromMouse = 1;
  const byte = dequeue(mouseReplies(s)) ?? dequeue(mouseQueue(s));
  if (byte !== undefined) s.mouseLast = byte;
  return byte;
}

/** Regions `data` (port 0x60) and `command` (port 0x64), 1 byte each. */
export function createI8042(options: I8042Options): I8042 {
  const { log } = options;
  const state: I8042State = options.place(i8042Schema);

  function driveInterrupts(): void {
    const [full, config] = [state.outputFull !== 0, state.ram[0]];
    const fromMouse = state.outputFromMouse !== 0;
    options.keyboardIrq.set(full && !fromMouse && (config & CONFIG.keyboardInterrupt) !== 0);
    options.mouseIrq.set(full && fromMouse && (config & CONFIG.mouseInterrupt) !== 0);
  }

  /** Moves the next byte into the output buffer if that is free. */
  function update(): void {
    if (state.outputFull === 0) {
      const byte = takeReply(state) ?? takeKeyboard(state) ?? takeMouse(state);
      if (byte === undefined) {
        state.outputFromMouse = 0;
      } else {
        state.output = byte;
        state.outputFull = 1;
      }
    }
    driveInterrupts();
  }

  function answer(byte: number, fromMouse = false): void {
    state.reply = byte;
    state.replyKind = fromMouse ? 2 : 1;
  }

  function readData(): number {
    const byte = state.output;
    state.outputFull = 0;
    state.outputFromMouse = 0;
    // The line falls between two bytes, so that each is an edge.
    driveInterrupts();
    update();
    return byte;
  }

  function readStatus(): number {
    return (
      (state.outputFull !== 0 ? STATUS.outputFull : 0) |
      (state.ram[0] & CONFIG.systemFlag) |
      (state.commandWritten !== 0 ? STATUS.command : 0) |
      STATUS.notInhibited |
      (state.outputFromMouse !== 0 ? STATUS.fromMouse : 0)
    );
  }

  function setA20(level: boolean): void {
    state.a20 = level ? 1 : 0;
    options.a20.set(level);
  }

  function outputPort(): number {
    const interrupt = state.outputFull === 0 ? 0 : state.outputFromMouse !== 0 ? 0x20 : 0x10;
    return 0xc0 | interrupt | (state.a20 !== 0 ? OUTPUT_A20 : 0) | OUTPUT_NO_RESET;
  }

  /** Returns whether the processor is to be reset. */
  function writeOperand(command: number, value: number): boolean {
    switch (command) {
      case WRITE_OUTPUT_PORT:
        setA20((value & OUTPUT_A20) !== 0);
        return (value & OUTPUT_NO_RESET) === 0;
      case WRITE_KEYBOARD_OUTPUT:
        answer(value);
        break;
      case WRITE_MOUSE_OUTPUT:
        answer(value, true);
        break;
      case WRITE_MOUSE:
        writeMouse(state, value);
        break;
      default:
        state.ram[command & 0x1f] = value;
    }
    return false;
  }

  function writeData(value: number): void {
    const command = state.command;
    state.command = 0;
    state.commandWritten = 0;
    let resets = false;
    if (command !== 0) {
      resets = writeOperand(command, value);
    } else {
      // Sending to the keyboard switches its interface on.
      state.ram[0] &= ~CONFIG.keyboardDisabled;
      writeKeyboard(state, value);
    }
    update();
    if (resets) options.reset();
  }

  /** A command without an operand; returns its answer, if it has one. */
  function execute(command: number): number | undefined {
    switch (command) {
      case 0xa4: // no password is installed
        return 0xf1;
      case 0xa7:
        state.ram[0] |= CONFIG.mouseDisabled;
        return undefined;
      case 0xa8:
        state.ram[0] &= ~CONFIG.mouseDisabled;
        return undefined;
      case 0xa9: // the mouse's interface works
      case 0xab: // the keyboard's interface works
        return 0x00;
      case 0xaa: // self-test passed
        state.ram[0] |= CONFIG.systemFlag;
        return 0x55;
      case 0xad:
        state.ram[0] |= CONFIG.keyboardDisabled;
        return undefined;
      case 0xae:
        state.ram[0] &= ~CONFIG.keyboardDisabled;
        return undefined;
      case 0xc0: // the input port: the keyboard is not locked
        return 0x80;
      case 0xd0:
        return outputPort();
      case 0xdd:
      case 0xdf:
        setA20((command & 2) !== 0);
        return undefined;
    }
    if ((command & 0xe0) === READ_RAM) return state.ram[command & 0x1f];
    if (command < PULSE_OUTPUT) log('i8042: unknown command');
    return undefined;
  }

  function writeCommand(value: number): void {
    state.commandWritten = 1;
    state.command = 0;
    if (takesOperand(value)) {
      state.command = value;
    } else {
      const reply = execute(value);
      if (reply !== undefined) answer(reply);
    }
    update();
    // The lines of the output port whose bit is 0 are pulsed; only the reset line matters.
    if (value >= PULSE_OUTPUT && (value & OUTPUT_NO_RESET) === 0) options.reset();
  }

  return {
    name: 'i8042',
    schema: i8042Schema,
    state,
    regions: {
      data: byteRegion(1, readData, (_offset, value) => writeData(value)),
      command: byteRegion(1, readStatus, (_offset, value) => writeCommand(value)),
    },
    key(scancodes) {
      const taken = pressKeys(state, scancodes);
      update();
      return taken;
    },
    mouse(dx, dy, buttons, wheel) {
      moveMouse(state, dx, -dy, buttons, wheel);
      update();
    },
    reset() {
      state.ram.fill(0);
      state.ram[0] = INITIAL_CONFIG;
      state.output = 0;
      state.outputFull = 0;
      state.outputFromMouse = 0;
      state.replyKind = 0;
      state.reply = 0;
      state.commandWritten = 0;
      state.command = 0;
      state.breakPrefix = 0;
      state.mouseButtons = 0;
      resetKeyboard(state);
      resetMouse(state);
      setA20(true);
      driveInterrupts();
    },
    restored() {
      checkI8042(state);
      options.a20.set(state.a20 !== 0);
      driveInterrupts();
    },
  };
}

function checkI8042(s: I8042State): void {
  const flags = [s.a20, s.outputFull, s.outputFromMouse, s.commandWritten, s.breakPrefix, s.keyboardScanning];
  const mouseFlags = [s.mouseReporting, s.mouseRemote, s.mouseWrap, s.mouseScaling];
  checkState('i8042', {
    flags: allAtMost([...flags, ...mouseFlags], 1),
    replyKind: s.replyKind <= 2,
    command: s.command === 0 || takesOperand(s.command),
    keyboardReplies: isSoundQueue(keyboardReplies(s)),
    keyboardQueue: isSoundQueue(keyboardQueue(s)),
    keyboardSet: s.keyboardSet === 1 || s.keyboardSet === 2,
    mouseReplies: isSoundQueue(mouseReplies(s)),
    mouseQueue: isSoundQueue(mouseQueue(s)),
    mouseResolution: s.mouseResolution <= 3,
    mouseId: [0, 3, 4].includes(s.mouseId),
    mouseButtons: allAtMost([s.mouseButtons, s.mouseReportedButtons], 0x1f),
    movement: allAtMost([s.mouseX, s.mouseY, s.mouseZ].map(Math.abs), 32_767),
  });
}
