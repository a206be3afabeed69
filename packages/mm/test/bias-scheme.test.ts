import { ENOMEM } from '@pincushion/sim';
import { BiasScheme, FrameTable, GUP_PIN_COUNTING_BIAS, PIN_TAG } from '../src/index';

function setUpScheme() {
  const freed: number[] = [];
  const bad: number[] = [];
  const frames = new FrameTable(4096, {
    folioFreed: (head) => {
      freed.push(head);
      return undefined;
    },
    badRelease: (pfn) => {
      bad.push(pfn);
      return undefined;
    },
  });
  return { frames, scheme: new BiasScheme(frames), freed, bad };
}

describe('the bias scheme', () => {
  it('adds 1024 references for a pin of a small folio (R-02)', () => {
    const { frames, scheme } = setUpScheme();
    frames.refcount[10] = 1;
    frames.refcount[11] = 3;
    expect(scheme.acquire(Int32Array.of(0, 10, 11), 1, 2)).toBe(2);
    expect([frames.refcount[10], frames.refcount[11]]).toEqual([1025, 1027]);
    expect(GUP_PIN_COUNTING_BIAS).toBe(1024);
  });

  it('adds one reference and one pin per page of a large folio (R-03)', () => {
    const { frames, scheme } = setUpScheme();
    frames.order.fill(9, 512, 1024);
    frames.refcount[512] = 1;
    expect(scheme.acquireFolio(512, 3)).toBe(0);
    expect([frames.refcount[512], frames.pincount[512]]).toEqual([4, 3]);
    expect(scheme.isPinned(700)).toBe('yes');
    scheme.releaseFolio(512, 3);
    expect([frames.refcount[512], frames.pincount[512]]).toEqual([1, 0]);
    expect(scheme.isPinned(700)).toBe('no');
  });

  it('stops at the first frame without references and leaves the others alone', () => {
    const { frames, scheme } = setUpScheme();
    frames.refcount.fill(1, 20, 24);
    frames.refcount[22] = 0;
    expect(scheme.acquire(Int32Array.of(20, 21, 22, 23), 0, 4)).toBe(2);
    expect([...frames.refcount.subarray(20, 24)]).toEqual([1025, 1025, 0, 1]);
    expect(scheme.acquireFolio(22, 1)).toBe(-ENOMEM);
  });

  it('lets the pin that makes the count negative succeed and refuses the next (R-21, R-22)', () => {
    const { frames, scheme } = setUpScheme();
    const page = Int32Array.of(30);
    frames.refcount[30] = 1;
    for (let i = 0; i < 2_097_151; i++) scheme.acquire(page, 0, 1);
    expect(frames.refcount[30]).toBe(2147482625);
    expect(scheme.acquire(page, 0, 1)).toBe(1);
    expect(frames.refcount[30]).toBe(-2147483647);
    expect(scheme.acquire(page, 0, 1)).toBe(0);
    expect(scheme.isPinned(30)).toBe('maybe');
    scheme.release(page, 0, 1);
    expect(frames.refcount[30]).toBe(2147482625);
  });

  it('cannot tell 1024 ordinary references of a small folio from a pin (P-01, P-02)', () => {
    const { frames, scheme } = setUpScheme();
    frames.refcount[40] = 1023;
    expect(scheme.isPinned(40)).toBe('no');
    frames.refcount[40] = 1024;
    expect(scheme.isPinned(40)).toBe('maybe');
    frames.order.fill(1, 42, 44);
    frames.refcount[42] = 5000;
    expect(scheme.isPinned(43)).toBe('no');
  });

  it('frees at zero, in the order of the array, and masks tags', () => {
    const { frames, scheme, freed } = setUpScheme();
    frames.refcount.fill(1024, 50, 53);
    scheme.release(Int32Array.of(52 | PIN_TAG, 50 | PIN_TAG, 51 | PIN_TAG), 0, 3);
    expect(freed).toEqual([52, 50, 51]);
  });

  it('leaves the count alone when a release is one too many', () => {
    const { frames, scheme, freed, bad } = setUpScheme();
    frames.refcount[60] = 1;
    scheme.release(Int32Array.of(60), 0, 1);
    frames.order.fill(1, 62, 64);
    frames.refcount[62] = 9;
    scheme.releaseFolio(62, 1);
    expect([frames.refcount[60], frames.refcount[62], frames.pincount[62]]).toEqual([1, 9, 0]);
    expect([bad, freed]).toEqual([[60, 62], []]);
  });
});
