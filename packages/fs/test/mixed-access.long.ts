import { MixedAccess } from './mixed-access';

describe('one file, buffered, mapped and direct at once', () => {
  it.each([
    ['pin', 'linux'],
    ['get', 'linux'],
    ['pin', 'bounce'],
    ['pin-longterm-only', 'wait'],
  ] as const)('agrees with what POSIX and Linux promise (direct I/O holds by %s, writeback %s)', (hold, pinned) => {
    for (let seed = 1; seed <= 60; seed++) new MixedAccess(seed, hold, pinned).run();
  });
});
