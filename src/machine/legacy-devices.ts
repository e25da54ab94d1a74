/** What every PC has had since the AT: timer, clock, keyboard controller, serial ports, port 0x92. */
import { struct } from '../base/struct.ts';
import type { Device, Line } from '../devices/device.ts';
import { createI8042, type I8042 } from '../devices/i8042/i8042.ts';
import { createPit, type Pit } from '../devices/pit/pit.ts';
import { createPort92 } from '../devices/port92/port92.ts';
import { createRtc, type Rtc } from '../devices/rtc/rtc.ts';
import { createSerial, type Serial, type SerialBackend } from '../devices/serial/serial.ts';
import type { PartOptions } from './board-options.ts';
import type { Bus } from './bus.ts';
import type { InterruptLines } from './interrupt-lines.ts';

export interface LegacyDevices {
  readonly rtc: Rtc;
  readonly i8042: I8042 | undefined;
  readonly serial: readonly Serial[];
  readonly devices: readonly Device[];
  attach(ports: Bus): void;
}

/** Where output goes that nobody wants. */
const NO_BACKEND: SerialBackend = { write() {} };

/** Bits of the gates that are open. What they follow from is saved, and drives them again after a restore. */
const A20_GATES = struct('a20-gates', 1, { open: 'u8' });

/** A20 is open while either the keyboard controller or port 0x92 lets it through; without the former it always is. */
function joinA20({ place, a20, description }: PartOptions): readonly [Line, Line] {
  const gates = place(A20_GATES, (fresh) => {
    if (description.ps2 === undefined) fresh.open = 1;
  });
  const line = (bit: 1 | 2): Line => ({
    set(level) {
      const before = gates.open;
      gates.open = level ? before | bit : before & ~bit;
      if ((before !== 0) !== (gates.open !== 0)) a20?.(gates.open !== 0);
    },
  });
  return [line(1), line(2)];
}

function serialPorts({ description, place, timers, serial = [] }: PartOptions, lines: InterruptLines): Serial[] {
  return description.serial.map(({ irq }, i) => {
    const port = serial[i];
    return createSerial({
      name: `serial${i}`,
      place,
      timers,
      irq: lines.shared(irq),
      backend: port?.backend ?? NO_BACKEND,
      onRoom: () => port?.onRoom?.(),
    });
  });
}

/** `rtcAlarm` is power management's wire from the RTC. */
export function createLegacyDevices(parts: PartOptions, lines: InterruptLines, rtcAlarm: Line): LegacyDevices {
  const { description, place, timers, log, reset } = parts;
  const { ps2 } = description;
  const pit: Pit = createPit({ place, timers, irq: lines.replaceable(0, () => pit.replacedOrBack()) });
  const rtcIrq = lines.replaceable(8);
  const rtc = createRtc({
    place,
    timers,
    wall: parts.wall,
    irq: {
      set(level) {
        rtcIrq.set(level);
        rtcAlarm.set(level);
      },
    },
  });
  const [controllerGate, fastGate] = joinA20(parts);
  const i8042 =
    ps2 &&
    createI8042({
      place,
      keyboardIrq: lines.shared(ps2.keyboardIrq),
      mouseIrq: lines.shared(ps2.mouseIrq),
      a20: controllerGate,
      reset,
      log,
    });
  const port92 = createPort92({ place, a20: fastGate, reset });
  const serial = serialPorts(parts, lines);
  return {
    rtc,
    i8042,
    serial,
    devices: [pit, rtc, ...(i8042 === undefined ? [] : [i8042]), port92, ...serial],
    attach(ports) {
      ports.attach(0x40, pit.regions.counters);
      ports.attach(0x61, pit.regions.control);
      ports.attach(description.rtc.port, rtc.regions.port);
      ports.attach(0x92, port92.regions.port);
      if (i8042 !== undefined) {
        ports.attach(0x60, i8042.regions.data);
        ports.attach(0x64, i8042.regions.command);
      }
      for (const [i, { port }] of description.serial.entries()) ports.attach(port, serial[i].regions.port);
    },
  };
}
