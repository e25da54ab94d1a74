/** Keeps what a guest can make the monitor say within bounds. */
import type { GuestLog } from '../devices/device.ts';

/** Remembers up to `limit` different things. Returns true the first time it is given one, and never after the limit. */
export function firstTime<T>(limit: number): (thing: T) => boolean {
  const seen = new Set<T>();
  return (thing) => {
    if (seen.size >= limit || seen.has(thing)) return false;
    seen.add(thing);
    return true;
  };
}

/** Passes each message on once, and at most `limit` of them. */
export function onceEach(log: GuestLog, limit = 1024): GuestLog {
  const isNew = firstTime<string>(limit);
  return (message) => {
    if (isNew(message)) log(message);
  };
}
