/** What a shared folder's device and the server of the folder say to each other over an `IoPort`. Nothing here is of any one device. */

/** Operations. */
export const FOLDER_OPERATION = {
  /** A message, in the segments; the reply to it goes where replies go. */
  message: 0,
  /** The guest started over: what it held is given up. */
  reset: 1,
} as const;

/** The bit of a result that says that the guest holds the folder; below it is the length of the reply. */
export const FOLDER_IN_USE = 0x8000_0000;
