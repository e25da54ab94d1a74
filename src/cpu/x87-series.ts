/**
 * Elementary functions in fixed point: numbers are integers that count units of 2^-BITS. Errors stay below 2^-(BITS - 8)
 * for results of magnitude about 1, so that even after the worst cancellation more than 64 right bits are left.
 */

/** Fraction bits of the working format. */
export const BITS = 200;
const B = BigInt(BITS);
const ONE = 1n << B;

/** Bits that the constants have beyond `BITS`, for products with 64-bit integers. */
const MORE = 72n;

const multiply = (a: bigint, b: bigint): bigint => (a * b) >> B;

/** arctan(1 / n) or, with `hyperbolic`, artanh(1 / n), in units of 2^-(BITS + MORE). */
function inverseTangent(n: bigint, hyperbolic: boolean): bigint {
  const square = n * n;
  let power = (1n << (B + MORE)) / n;
  let sum = 0n;
  for (let k = 1n; power !== 0n; k += 2n) {
    const negative = !hyperbolic && (k & 2n) !== 0n;
    sum += negative ? -(power / k) : power / k;
    power /= square;
  }
  return sum;
}

// Machin's formula, and log 2 = 2 artanh(1/3).
const PI_LONG = 16n * inverseTangent(5n, false) - 4n * inverseTangent(239n, false);
export const PI = PI_LONG >> MORE;
export const LN2 = (2n * inverseTangent(3n, true)) >> MORE;

/** Number of binary digits. */
export function bitLength(value: bigint): number {
  const digits = value.toString(16);
  return digits.length * 4 - Math.clz32(Number.parseInt(digits[0] as string, 16)) + 28;
}

/** `x` in [0, 2^64) less the nearest multiple of pi/2, and that multiple modulo 4. */
export function reduce(x: bigint): { rest: bigint; quadrant: number } {
  const halfPi = PI_LONG >> 1n;
  const long = x << MORE;
  const count = (long + (halfPi >> 1n)) / halfPi;
  return { rest: (long - count * halfPi) >> MORE, quadrant: Number(count & 3n) };
}

/** Sine of |x| <= pi/4. */
export function sine(x: bigint): bigint {
  const square = multiply(x, x);
  let term = x;
  let sum = x;
  for (let k = 2n; term !== 0n && term !== -1n; k += 2n) {
    term = -multiply(term, square) / (k * (k + 1n));
    sum += term;
  }
  return sum;
}

/** Cosine of |x| <= pi/4. */
export function cosine(x: bigint): bigint {
  const square = multiply(x, x);
  let term = ONE;
  let sum = ONE;
  for (let k = 1n; term !== 0n && term !== -1n; k += 2n) {
    term = -multiply(term, square) / (k * (k + 1n));
    sum += term;
  }
  return sum;
}

/** e^x - 1 for |x| < 1. */
export function exponentialMinusOne(x: bigint): bigint {
  let term = x;
  let sum = x;
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = multiply(term, x) / k;
    sum += term;
  }
  return sum;
}

function tangentSeries(x: bigint, hyperbolic: boolean): bigint {
  const square = multiply(x, x);
  let power = x;
  let sum = 0n;
  for (let k = 1n; power !== 0n && power !== -1n; k += 2n) {
    sum += !hyperbolic && (k & 2n) !== 0n ? -(power / k) : power / k;
    power = multiply(power, square);
  }
  return sum;
}

/** arctan(n / 16), filled as needed. */
const SIXTEENTHS: (bigint | undefined)[] = [0n];

function arctangentOfSixteenth(n: number): bigint {
  // arctan n/16 = arctan (n-1)/16 + arctan(16 / (256 + n(n-1))).
  SIXTEENTHS[n] ??= arctangentOfSixteenth(n - 1) + tangentSeries((16n * ONE) / BigInt(256 + n * (n - 1)), false);
  return SIXTEENTHS[n] as bigint;
}

/** Arctangent of 0 <= x <= 1. */
export function arctangent(x: bigint): bigint {
  const n = Number((x * 16n + ONE / 2n) >> B);
  const c = (BigInt(n) * ONE) >> 4n;
  const rest = ((x - c) * ONE) / (ONE + multiply(x, c));
  return arctangentOfSixteenth(n) + tangentSeries(rest, false);
}

/** log2 of `mantissa * 2^exponent`, `mantissa` > 0. */
export function logarithm(mantissa: bigint, exponent: number): bigint {
  const length = bitLength(mantissa);
  // Between about sqrt(1/2) and sqrt(2): 181/256 < 1/sqrt(2).
  const above = mantissa << 8n > 181n << BigInt(length);
  const power = above ? length : length - 1;
  const one = 1n << BigInt(power);
  const u = ((mantissa - one) << B) / (mantissa + one);
  const whole = BigInt(power + exponent) << B;
  return whole + ((2n * tangentSeries(u, true)) << B) / LN2;
}
