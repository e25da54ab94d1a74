/** Bits and numbers of virtio 1.2 that the transport and the rings share. */

/** Device status field (2.1). */
export const STATUS = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 64,
  failed: 128,
} as const;

/** Feature bits that belong to the transport and the rings, not to a device type (6). Bit numbers. */
export const FEATURE = {
  indirectDescriptors: 28,
  eventIndex: 29,
  version1: 32,
} as const;

/** Offered by every device here. Packed rings (34) and in-order use (35) are not. */
export const TRANSPORT_FEATURES =
  (1n << BigInt(FEATURE.indirectDescriptors)) | (1n << BigInt(FEATURE.eventIndex)) | (1n << BigInt(FEATURE.version1));

/** "No vector": an event that sends no MSI-X message (4.1.5.1.2). */
export const NO_VECTOR = 0xffff;

/** The longest descriptor chain that is accepted, indirect descriptors included. */
export const MAX_CHAIN = 1024;

/** Bits of the ISR status byte (4.1.4.5). */
export const ISR = { queue: 1, config: 2 } as const;
