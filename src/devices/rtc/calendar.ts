/** The clock registers' view of a time: BCD or binary, 12 or 24 hours (MC146818 datasheet, "Time, calendar and alarm"). */

/** Register B. */
export const TWENTY_FOUR_HOURS = 0x02;
export const BINARY = 0x04;

const PM = 0x80;
const SECONDS_PER_DAY = 86_400;

/** Registers 0 to 9 without the alarm, and the century, as numbers; the year is 0 to 99, Sunday is 1. */
export interface Calendar {
  readonly second: number;
  readonly minute: number;
  readonly hour: number;
  readonly weekday: number;
  readonly day: number;
  readonly month: number;
  readonly year: number;
  readonly century: number;
}

function encode(value: number, format: number): number {
  return (format & BINARY ? value : (Math.floor(value / 10) << 4) | (value % 10)) & 0xff;
}

/** Bytes that are no BCD number still give one, up to 165. */
function decode(byte: number, format: number): number {
  return format & BINARY ? byte : (byte >> 4) * 10 + (byte & 15);
}

function encodeHour(hour: number, format: number): number {
  if (format & TWENTY_FOUR_HOURS) return encode(hour, format);
  return encode(hour % 12 === 0 ? 12 : hour % 12, format) | (hour >= 12 ? PM : 0);
}

export function decodeHour(byte: number, format: number): number {
  if (format & TWENTY_FOUR_HOURS) return decode(byte, format);
  const hour = decode(byte & ~PM, format);
  return (hour === 12 ? 0 : hour) + (byte & PM ? 12 : 0);
}

/** The calendar at `seconds` since 1970-01-01T00:00:00Z. */
export function calendarAt(seconds: number): Calendar {
  const date = new Date(seconds * 1000);
  const year = date.getUTCFullYear();
  return {
    second: date.getUTCSeconds(),
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    weekday: date.getUTCDay() + 1,
    day: date.getUTCDate(),
    month: date.getUTCMonth() + 1,
    year: ((year % 100) + 100) % 100,
    century: Math.floor(year / 100),
  };
}

/** Seconds since 1970-01-01T00:00:00Z; fields out of range carry over, as 31 February into March. */
export function secondsOf(c: Calendar): number {
  const date = new Date(0);
  date.setUTCFullYear(c.century * 100 + c.year, c.month - 1, c.day);
  date.setUTCHours(c.hour, c.minute, c.second);
  return date.getTime() / 1000;
}

/** Where the bytes of a calendar are in CMOS. */
const AT = { second: 0, minute: 2, hour: 4, weekday: 6, day: 7, month: 8, year: 9, century: 0x32 } as const;

export const TIME_REGISTERS: ReadonlySet<number> = new Set(Object.values(AT));

/** Writes a calendar into CMOS bytes, in the format that register B tells. */
export function storeCalendar(cmos: Uint8Array, c: Calendar, format: number): void {
  for (const [field, at] of Object.entries(AT)) cmos[at] = encode(c[field as keyof Calendar], format);
  cmos[AT.hour] = encodeHour(c.hour, format);
}

/** Reads a calendar from CMOS bytes. */
export function loadCalendar(cmos: Uint8Array, format: number): Calendar {
  const field = (at: number) => decode(cmos[at], format);
  return {
    second: field(AT.second),
    minute: field(AT.minute),
    hour: decodeHour(cmos[AT.hour], format),
    weekday: field(AT.weekday),
    day: field(AT.day),
    month: field(AT.month),
    year: field(AT.year),
    century: field(AT.century),
  };
}

/** An alarm byte from 0xc0 up matches everything. */
function matches(alarm: number, value: number, byte: number): boolean {
  return byte >= 0xc0 || alarm === value;
}

/**
 * The first second after `seconds` at which the alarm registers (CMOS bytes 1, 3, 5) match, or `undefined` if they
 * never do.
 */
export function nextAlarm(cmos: Uint8Array, format: number, seconds: number): number | undefined {
  const [second, minute, hour] = [decode(cmos[1], format), decode(cmos[3], format), decodeHour(cmos[5], format)];
  const impossible =
    (cmos[1] < 0xc0 && second > 59) || (cmos[3] < 0xc0 && minute > 59) || (cmos[5] < 0xc0 && hour > 23);
  if (impossible) return undefined;
  const first = seconds + 1;
  const end = first + SECONDS_PER_DAY;
  let time = first;
  while (time <= end) {
    const ofDay = time - Math.floor(time / SECONDS_PER_DAY) * SECONDS_PER_DAY;
    if (!matches(hour, Math.floor(ofDay / 3600), cmos[5])) time += 3600 - (ofDay % 3600);
    else if (!matches(minute, Math.floor(ofDay / 60) % 60, cmos[3])) time += 60 - (ofDay % 60);
    else if (!matches(second, ofDay % 60, cmos[1])) time += 1;
    else return time;
  }
  return undefined;
}
