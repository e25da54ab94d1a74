/** The fixed ACPI description table and the control structure that it points to. */
import type { BoardDescription } from '../board-description.ts';
import { ascii, concat, u8, u16, u32, u64 } from '../bytes.ts';
import { genericAddress, NO_ADDRESS, table } from './table.ts';

/** Fixed feature flags (ACPI 6.5 table 5.10). The power button is a fixed feature, so its bit stays clear. */
const FLAGS = {
  wbinvd: 1 << 0,
  processorC1: 1 << 2,
  noFixedSleepButton: 1 << 5,
  noFixedRtcWake: 1 << 6,
  timer32: 1 << 8,
  resetRegister: 1 << 10,
} as const;

/** IA-PC boot architecture flags (table 5.11). */
const BOOT_ARCHITECTURE = { legacyDevices: 1 << 0, keyboardController: 1 << 1, noVga: 1 << 2 } as const;

/** C2 and C3 are not there: latencies above 100 and 1000 µs say so. */
const NO_C2 = 101;
const NO_C3 = 1001;
const PROFILE_DESKTOP = 1;

/** The FADT of ACPI 6.3, 276 bytes, for the full ACPI hardware model (5.2.9). */
export function fadt(board: BoardDescription, facsAddress: number, dsdtAddress: number): Uint8Array {
  const pm = board.powerManagement;
  const flags =
    FLAGS.wbinvd | FLAGS.processorC1 | FLAGS.noFixedSleepButton | FLAGS.noFixedRtcWake | FLAGS.resetRegister;
  const bootArchitecture =
    BOOT_ARCHITECTURE.legacyDevices |
    (board.ps2 ? BOOT_ARCHITECTURE.keyboardController : 0) |
    (board.vga ? 0 : BOOT_ARCHITECTURE.noVga);
  return table(
    'FACP',
    6,
    u32(facsAddress, dsdtAddress),
    u8(0, PROFILE_DESKTOP),
    u16(pm.sci.irq),
    u32(pm.smiCommand),
    u8(pm.acpiEnable, pm.acpiDisable, 0, 0),
    // PM1a and PM1b event, PM1a and PM1b control, PM2 control, PM timer, GPE0, GPE1.
    u32(pm.event, 0, pm.control, 0, 0, pm.timer, pm.gpe0.port, 0),
    u8(4, 2, 0, 4, pm.gpe0.size, 0, 0, 0),
    u16(NO_C2, NO_C3, 0, 0),
    // Duty offset and width, day alarm, month alarm, century.
    u8(0, 0, 0, 0, board.rtc.century),
    u16(bootArchitecture),
    u8(0),
    u32((flags | (pm.timer32 ? FLAGS.timer32 : 0)) >>> 0),
    genericAddress('io', 8, 'byte', board.reset.port),
    u8(board.reset.value),
    u16(0),
    // FADT minor version.
    u8(3),
    // The FACS is given by its 32-bit field alone; the DSDT by both.
    u64(0, dsdtAddress),
    extendedBlocks(board),
    // Sleep control, sleep status: only on hardware-reduced ACPI. No hypervisor identity: guests ask CPUID.
    NO_ADDRESS,
    NO_ADDRESS,
    u64(0),
  );
}

function extendedBlocks(board: BoardDescription): Uint8Array {
  const pm = board.powerManagement;
  return concat(
    genericAddress('io', 32, 'word', pm.event),
    NO_ADDRESS,
    genericAddress('io', 16, 'word', pm.control),
    NO_ADDRESS,
    NO_ADDRESS,
    genericAddress('io', 32, 'dword', pm.timer),
    genericAddress('io', pm.gpe0.size * 8, 'byte', pm.gpe0.port),
    NO_ADDRESS,
  );
}

/** The firmware ACPI control structure (5.2.10): 64 bytes, must lie on a multiple of 64, is written by the guest. */
export function facs(): Uint8Array {
  // Signature, length, hardware signature, waking vector, global lock, flags; extended waking vector; version 2.
  return concat(ascii('FACS'), u32(64, 0, 0, 0, 0), u64(0), u8(2), new Uint8Array(31));
}
