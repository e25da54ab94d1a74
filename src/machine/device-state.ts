/** Saves and restores the structs of a set of devices. */
import { VirtsError } from '../base/errors.ts';
import type { Device } from '../devices/device.ts';
import type { StructMemory } from './struct-memory.ts';

/** A device's registers as they lay in memory. */
export interface SavedDevice {
  readonly name: string;
  /** Of the struct's schema. */
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** Copies all structs, in order. No device may run meanwhile. Throws VirtsError 'unsupported' where a device cannot be saved now. */
export function saveDevices(devices: readonly Device[], memory: StructMemory): SavedDevice[] {
  for (const device of devices) {
    const reason = device.unsavable?.();
    if (reason !== undefined) throw new VirtsError('unsupported', reason, { device: device.name });
  }
  return devices.map(({ name, schema, state }) => {
    return { name, version: schema.version, bytes: memory.bytesOf(state).slice() };
  });
}

/**
 * Overwrites all structs and then tells the devices, in order. Throws VirtsError 'bad-input': with nothing changed if the
 * devices, their versions or sizes differ, else because a device found its state damaged, and then the machine is of no
 * more use.
 */
export function restoreDevices(devices: readonly Device[], memory: StructMemory, saved: readonly SavedDevice[]): void {
  const byName = new Map(saved.map((one) => [one.name, one]));
  if (byName.size !== devices.length || saved.length !== devices.length) throw mismatch('has other devices', {});
  const pairs = devices.map((device) => {
    const { name, schema } = device;
    const one = byName.get(name);
    if (one === undefined) throw mismatch(`has no ${name}`, { name });
    if (one.version !== schema.version) {
      throw mismatch(`has ${name} in version ${one.version}, not ${schema.version}`, { name, version: one.version });
    }
    if (one.bytes.length !== schema.size) {
      throw mismatch(`has ${name} in another layout`, { name, length: one.bytes.length, expected: schema.size });
    }
    return { device, bytes: one.bytes };
  });
  for (const { device, bytes } of pairs) memory.bytesOf(device.state).set(bytes);
  for (const { device } of pairs) device.restored();
}

function mismatch(what: string, context: Readonly<Record<string, unknown>>): VirtsError {
  const message = `The saved machine ${what}; restore it into a machine of the same kind.`;
  return new VirtsError('bad-input', message, context);
}
