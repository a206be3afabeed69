/** Nanoseconds `bytes` take at a bandwidth in megabytes a second, rounded up; at 0, which is no limit, none. */
export function transferNs(bytes: number, megabytesPerSecond: number): number {
  return megabytesPerSecond === 0 ? 0 : Math.floor((bytes * 1000 + megabytesPerSecond - 1) / megabytesPerSecond);
}
