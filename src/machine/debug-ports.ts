/** Ports without a device of their own: POST codes, debug consoles, debug exit. */
import { byteRegion } from '../devices/byte-region.ts';
import type { Region } from '../devices/device.ts';
import type { Bus } from './bus.ts';

/** POST codes, which a BIOS writes for a display on the board and others write to pass a microsecond. */
const POST_PORT = 0x80;
const DEBUG_EXIT_PORT = 0xf4;
/** Where Bochs and SeaBIOS write their messages. A read of this value tells that somebody listens. */
const DEBUG_CONSOLES = [0xe9, 0x402];
const CONSOLE_PRESENT = 0xe9;

/** The debug consoles are there only if `output` is given, which takes their bytes (0–255). */
export function attachDebugPorts(ports: Bus, exit: Region, output: ((byte: number) => void) | undefined): void {
  const ignore = () => {};
  ports.attach(
    POST_PORT,
    byteRegion(1, () => 0xff, ignore),
  );
  ports.attach(DEBUG_EXIT_PORT, exit);
  if (output === undefined) return;
  for (const port of DEBUG_CONSOLES) {
    ports.attach(
      port,
      byteRegion(
        1,
        () => CONSOLE_PRESENT,
        (_offset, value) => output(value),
      ),
    );
  }
}
