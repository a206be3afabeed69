/**
 * Sizes and durations as people write them.
 *
 * Single letters and the `…iB` forms are powers of 1024, `kB`, `MB`, `GB`, `TB` powers of 1000. Parsers answer null for
 * what they do not understand: the caller knows the path of the field and words the error.
 */
const KIB = 1024;
const SIZE_UNITS: Readonly<Record<string, number>> = Object.freeze({
  '': 1,
  b: 1,
  k: KIB,
  kib: KIB,
  kb: 1000,
  m: KIB * KIB,
  mib: KIB * KIB,
  mb: 1_000_000,
  g: KIB * KIB * KIB,
  gib: KIB * KIB * KIB,
  gb: 1_000_000_000,
  t: KIB * KIB * KIB * KIB,
  tib: KIB * KIB * KIB * KIB,
  tb: 1_000_000_000_000,
  p: KIB * KIB * KIB * KIB * KIB,
  pib: KIB * KIB * KIB * KIB * KIB,
  pb: 1_000_000_000_000_000,
});

const DURATION_UNITS: Readonly<Record<string, number>> = Object.freeze({
  '': 1,
  ns: 1,
  us: 1_000,
  µs: 1_000,
  μs: 1_000,
  ms: 1_000_000,
  s: 1_000_000_000,
  min: 60_000_000_000,
  h: 3_600_000_000_000,
});

/** Bytes of `'4GiB'`, `'64k'`, `'1.5m'` or a plain number; null unless it is a whole number of bytes from 0 up. */
export function parseSize(input: string | number): number | null {
  return parseQuantity(input, SIZE_UNITS);
}

/** Nanoseconds of `'10ms'`, `'2us'`, `'1.5s'` or a plain number (nanoseconds); null unless it is a whole number from 0 up. */
export function parseDuration(input: string | number): number | null {
  return parseQuantity(input, DURATION_UNITS);
}

/** `4 GiB`, `1.5 KiB`, `513 B`. */
export function formatBytes(bytes: number): string {
  return formatQuantity(bytes, KIB, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
}

/** `250 ns`, `12 µs`, `1.2 ms`, `90 s`. */
export function formatNs(ns: number): string {
  return formatQuantity(ns, 1000, ['ns', 'µs', 'ms', 's']);
}

function parseQuantity(input: string | number, units: Readonly<Record<string, number>>): number | null {
  const match = typeof input === 'number' ? null : /^\s*(\d+(?:\.\d+)?)\s*([a-zµμ]*)\s*$/i.exec(input);
  if (typeof input === 'string' && match === null) return null;
  const name = (match?.[2] ?? '').toLowerCase();
  const unit = Object.hasOwn(units, name) ? units[name] : null;
  if (unit === null) return null;
  const value = (typeof input === 'number' ? input : Number(match?.[1])) * unit;
  return Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function formatQuantity(value: number, step: number, names: readonly string[]): string {
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= step && unit < names.length - 1) {
    scaled /= step;
    unit++;
  }
  const text = Number.isInteger(scaled) || Math.abs(scaled) >= 100 ? scaled.toFixed(0) : scaled.toFixed(1);
  return `${text.replace(/\.0$/, '')} ${names[unit]}`;
}
