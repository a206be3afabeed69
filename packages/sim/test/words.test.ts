import {
  EFAULT,
  ENOMEM,
  ERROR_CODES,
  PincushionError,
  UsageError,
  callSite,
  errnoName,
  formatBytes,
  formatNs,
  parseDuration,
  parseSize,
} from '@pincushion/sim';

describe('errors', () => {
  it('say code, subject, expectation and cure in one message', () => {
    const cause = new Error('below');
    const error = new PincushionError('PIN_WRONG_RELEASE', 'pages were put that were pinned.', {
      device: 'nic0',
      hook: 'probe',
      errno: -EFAULT,
      expected: 'references of getUserPages',
      actual: 'references of pinUserPages',
      hint: 'unpinUserPages',
      cause,
    });
    expect(error.message).toBe(
      'PIN_WRONG_RELEASE: pages were put that were pinned (device nic0, in probe, EFAULT). ' +
        'Expected references of getUserPages; got references of pinUserPages. Try unpinUserPages.',
    );
    expect([error.code, error.errnoName, error.device, error.cause]).toEqual([
      'PIN_WRONG_RELEASE',
      'EFAULT',
      'nic0',
      cause,
    ]);
  });

  it('leave out what is not known', () => {
    expect(new UsageError('FILE_UNREADABLE', 'no such file').message).toBe('FILE_UNREADABLE: no such file.');
    expect(new PincushionError('INTERNAL', 'x', { expected: 'a' }).message).toBe('INTERNAL: x. Expected a.');
    expect(new UsageError('FILE_UNREADABLE', 'x')).toBeInstanceOf(PincushionError);
    expect(new UsageError('FILE_UNREADABLE', 'x').name).toBe('UsageError');
  });

  it('have codes that each mean something, in one sentence', () => {
    for (const [code, meaning] of Object.entries(ERROR_CODES)) {
      expect(code).toMatch(/^[A-Z][A-Z0-9_]+$/);
      expect(meaning).toMatch(/^[A-Z][^.]+\.$/);
    }
    expect(new Set(Object.values(ERROR_CODES)).size).toBe(Object.keys(ERROR_CODES).length);
  });

  it('have names of error numbers of either sign', () => {
    expect([errnoName(-EFAULT), errnoName(ENOMEM), errnoName(-999)]).toEqual(['EFAULT', 'ENOMEM', 'errno 999']);
  });
});

class EchoDriver {
  register(): string {
    return callSite();
  }
}

describe('callSite', () => {
  it('names file, position and method of the first frame outside of the product', () => {
    expect(new EchoDriver().register()).toMatch(/^words\.test\.ts:\d+:\d+ \(EchoDriver\.register\)$/);
  });

  it('leaves no trace on the stack depth that others set', () => {
    const before = Error.stackTraceLimit;
    callSite();
    expect(Error.stackTraceLimit).toBe(before);
  });
});

describe('units', () => {
  it.each([
    ['4GiB', 4 * 2 ** 30],
    ['64k', 65536],
    ['1.5m', 1.5 * 2 ** 20],
    ['2 TiB', 2 * 2 ** 40],
    ['1GB', 1e9],
    ['512', 512],
    [4096, 4096],
    ['0', 0],
  ])('size %p', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'GiB', '-1', '4 gigs', '1.5', '0x10', '1e3', NaN, -1, 0.5, Infinity, '99999999PiB', 'constructor'])(
    'no size %p',
    (text) => {
      expect(parseSize(text)).toBeNull();
    },
  );

  it.each([
    ['10ms', 10_000_000],
    ['2us', 2_000],
    ['2µs', 2_000],
    ['1.5s', 1_500_000_000],
    ['3min', 180_000_000_000],
    ['7', 7],
  ])('duration %p', (text, ns) => {
    expect(parseDuration(text)).toBe(ns);
    expect(parseDuration(`${text}x`)).toBeNull();
  });

  it('are written as people read them', () => {
    expect([0, 513, 1536, 4 * 2 ** 30, 1000 * 2 ** 40].map(formatBytes)).toEqual([
      '0 B',
      '513 B',
      '1.5 KiB',
      '4 GiB',
      '1000 TiB',
    ]);
    expect([0, 250, 12_000, 1_234_567, 90e9].map(formatNs)).toEqual(['0 ns', '250 ns', '12 µs', '1.2 ms', '90 s']);
  });
});
