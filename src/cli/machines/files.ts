/** Files of a machine's directory. */
export const FILES = {
  record: 'machine.json',
  status: 'status.json',
  lock: 'lock',
  control: 'control.sock',
  vsock: 'vsock.sock',
  console: 'console.log',
  /** What the process that runs it has to say. */
  monitor: 'monitor.log',
  disk: 'disk.qcow2',
} as const;
