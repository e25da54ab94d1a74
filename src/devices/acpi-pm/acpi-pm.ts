import type { TimerService } from '../../base/clock.ts';
import { struct } from '../../base/struct.ts';
import { byteRegion } from '../byte-region.ts';
import { allAtMost, checkState } from '../check-state.ts';
import type { Device, GuestLog, Line, Place, Region } from '../device.ts';
import { ticksAt, ticksToNs } from '../ticks.ts';

/** What the FADT and the DSDT must say of this device. */
export const ACPI_PM = {
  /** Written to the SMI command port by a guest that takes over power management, and gives it back. */
  acpiEnable: 0xf1,
  acpiDisable: 0xf0,
  /** SLP_TYP of S5, the only sleep state besides S0. */
  s5SleepType: 5,
  /** RESET_VALUE for the reset register. */
  resetValue: 6,
  /** Bytes of the GPE0 block: half status, half enable. */
  gpe0Length: 4,
} as const;

/** Frequency of the PM timer in Hz. ACPI 6.5 4.8.2.1. */
export const PM_TIMER_FREQUENCY = 3_579_545;

const TMR_STS = 0x0001;
const PWRBTN_STS = 0x0100;
const RTC_STS = 0x0400;
const WAK_STS = 0x8000;
/** Status bits that exist here: timer, global lock, power button, RTC, wake. */
const STATUS_BITS = TMR_STS | 0x20 | PWRBTN_STS | RTC_STS | WAK_STS;
const ENABLE_BITS = TMR_STS | 0x20 | PWRBTN_STS | RTC_STS;

const SCI_EN = 0x0001;
const CONTROL_BITS = 0x1c02;
const SLP_EN = 0x2000;

export const acpiPmSchema = struct('acpi-pm', 1, {
  status: 'u16',
  enable: 'u16',
  control: 'u16',
  gpeStatus: 'u16',
  gpeEnable: 'u16',
  /** Bit n is set while general-purpose event input n is asserted. */
  gpeInputs: 'u16',
  smiCommand: 'u8',
  smiData: 'u8',
  resetControl: 'u8',
  /** Level of the RTC's alarm. */
  rtcAlarm: 'u8',
  /** How often the PM timer's highest bit has toggled since time 0, as far as TMR_STS knows. */
  toggles: 'f64',
});

export interface AcpiPmOptions {
  readonly name: string;
  readonly place: Place;
  readonly timers: TimerService;
  /** The system control interrupt: level-triggered, to the PIC and the I/O APIC. */
  readonly sci: Line;
  /** The guest turned the machine off. Called within the guest's access: act after it. */
  readonly powerOff: () => void;
  /** The guest asked for a reset of the board. Called within the guest's access: act after it. */
  readonly reset: () => void;
  readonly log: GuestLog;
  /** Width of the PM timer, as the FADT's TMR_VAL_EXT tells: 32 unless given. */
  readonly timerBits?: 24 | 32;
}

export interface AcpiPm extends Device<typeof acpiPmSchema.fields> {
  readonly regions: {
    /** PM1a_EVT_BLK, 4 bytes. */
    readonly event: Region;
    /** PM1a_CNT_BLK, 2 bytes. */
    readonly control: Region;
    /** PM_TMR_BLK, 4 bytes. */
    readonly timer: Region;
    /** GPE0_BLK, 4 bytes. */
    readonly gpe0: Region;
    /** APM control and status ports, 2 bytes at 0xb2; the first is SMI_CMD. */
    readonly smi: Region;
    /** The reset register, 1 byte at 0xcf9. */
    readonly resetControl: Region;
  };
  /** General-purpose events 0–15: asserting one sets its status bit, which stays set while it is asserted. */
  readonly gpe: readonly Line[];
  /** The RTC's interrupt, whose rising edge is the RTC event. */
  readonly rtcAlarm: Line;
  pressPowerButton(): void;
}

/** Fixed ACPI hardware: PM1 events and control, PM timer, one GPE block, SMI command and reset. ACPI 6.5 4.8. */
export function createAcpiPm(options: AcpiPmOptions): AcpiPm {
  const { name, timers, log, timerBits = 32 } = options;
  const state = options.place(acpiPmSchema);
  const halfRange = 2 ** (timerBits - 1);
  const overflow = timers.timer(update);

  /** The timer runs from machine time 0 whatever happens; its highest bit toggles every half range. */
  const ticks = () => ticksAt(timers.now(), PM_TIMER_FREQUENCY);

  /** Sets TMR_STS if the highest bit toggled since the last look. */
  function catchUp(): void {
    const toggles = Math.floor(ticks() / halfRange);
    if (toggles === state.toggles) return;
    state.toggles = toggles;
    state.status |= TMR_STS;
  }

  /** Drives SCI. An alarm is needed only while a toggle of the timer would change it. */
  function update(): void {
    catchUp();
    const on = (state.control & SCI_EN) !== 0;
    const asserted = on && ((state.status & state.enable) !== 0 || (state.gpeStatus & state.gpeEnable) !== 0);
    options.sci.set(asserted);
    if (on && (state.enable & ~state.status & TMR_STS) !== 0) {
      overflow.arm(ticksToNs((state.toggles + 1) * halfRange, PM_TIMER_FREQUENCY));
    } else {
      overflow.cancel();
    }
  }

  function readEvent(offset: number): number {
    catchUp();
    return (offset < 2 ? state.status >>> (offset * 8) : state.enable >>> ((offset - 2) * 8)) & 0xff;
  }

  function writeEvent(offset: number, value: number): void {
    catchUp();
    if (offset < 2) state.status &= ~(value << (offset * 8));
    else state.enable = mergeByte(state.enable, offset - 2, value) & ENABLE_BITS;
    update();
  }

  /** SCI_EN follows the SMI command port; GBL_RLS and SLP_EN read as 0. */
  function writeControl(offset: number, value: number): void {
    const written = mergeByte(state.control, offset, value);
    state.control = (written & CONTROL_BITS) | (state.control & SCI_EN);
    if ((written & SLP_EN) === 0) return;
    const type = (written >>> 10) & 7;
    if (type === ACPI_PM.s5SleepType) options.powerOff();
    else log(`${name}: sleep type ${type} is not offered`);
  }

  function readGpe(offset: number): number {
    return (offset < 2 ? state.gpeStatus >>> (offset * 8) : state.gpeEnable >>> ((offset - 2) * 8)) & 0xff;
  }

  /** An event that is still asserted sets its status bit again at once. */
  function writeGpe(offset: number, value: number): void {
    if (offset < 2) state.gpeStatus = (state.gpeStatus & ~(value << (offset * 8))) | state.gpeInputs;
    else state.gpeEnable = mergeByte(state.gpeEnable, offset - 2, value);
    update();
  }

  function setGpe(bit: number, level: boolean): void {
    if (level) {
      state.gpeInputs |= bit;
      state.gpeStatus |= bit;
    } else {
      state.gpeInputs &= ~bit;
    }
    update();
  }

  function setRtcAlarm(level: boolean): void {
    const rises = level && state.rtcAlarm === 0;
    state.rtcAlarm = level ? 1 : 0;
    if (rises) raise(RTC_STS);
  }

  function raise(status: number): void {
    state.status |= status;
    update();
  }

  /** There is no system management mode: the command takes effect at once, as if firmware had handled it. */
  function writeSmi(offset: number, value: number): void {
    if (offset === 1) {
      state.smiData = value;
      return;
    }
    state.smiCommand = value;
    if (value === ACPI_PM.acpiEnable) state.control |= SCI_EN;
    else if (value === ACPI_PM.acpiDisable) state.control &= ~SCI_EN;
    else log(`${name}: unknown SMI command 0x${value.toString(16)}`);
    update();
  }

  /** Setting RST_CPU (bit 2) resets; the kinds that bits 1 and 3 choose from are the same here. */
  function writeReset(value: number): void {
    const rises = (value & ~state.resetControl & 4) !== 0;
    state.resetControl = value & 0xe;
    if (rises) options.reset();
  }

  function reset(): void {
    state.status = 0;
    state.enable = 0;
    state.control = 0;
    state.gpeStatus = state.gpeInputs;
    state.gpeEnable = 0;
    state.smiCommand = 0;
    state.smiData = 0;
    state.resetControl = 0;
    state.toggles = Math.floor(ticks() / halfRange);
    update();
  }

  function restored(): void {
    checkState(name, {
      status: (state.status & ~STATUS_BITS) === 0,
      enable: (state.enable & ~ENABLE_BITS) === 0,
      control: (state.control & ~(CONTROL_BITS | SCI_EN)) === 0,
      resetControl: (state.resetControl & ~0xe) === 0,
      rtcAlarm: allAtMost([state.rtcAlarm], 1),
      toggles: Number.isInteger(state.toggles) && state.toggles >= 0 && state.toggles <= ticks() / halfRange,
    });
    update();
  }

  return {
    name,
    schema: acpiPmSchema,
    state,
    regions: {
      event: byteRegion(4, readEvent, writeEvent),
      control: byteRegion(2, (offset) => (state.control >>> (offset * 8)) & 0xff, writeControl),
      timer: {
        size: 4,
        read: (offset, size) => Math.floor((ticks() % (2 * halfRange)) / 2 ** (offset * 8)) % 2 ** (size * 8),
        write: () => {},
      },
      gpe0: byteRegion(ACPI_PM.gpe0Length, readGpe, writeGpe),
      smi: byteRegion(2, (offset) => (offset === 0 ? state.smiCommand : state.smiData), writeSmi),
      resetControl: byteRegion(
        1,
        () => state.resetControl,
        (_, value) => writeReset(value),
      ),
    },
    gpe: Array.from({ length: 16 }, (_, event) => ({ set: (level) => setGpe(1 << event, level) })),
    rtcAlarm: { set: setRtcAlarm },
    pressPowerButton: () => raise(PWRBTN_STS),
    reset,
    restored,
  };
}

function mergeByte(register: number, offset: number, value: number): number {
  return (register & ~(0xff << (offset * 8))) | (value << (offset * 8));
}
