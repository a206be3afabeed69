import { FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, PG_anon, PG_anonExclusive } from '../src/index';
import { VM_MAYWRITE, VM_SHARED, Vma } from '../src/process/vma';
import { linux618 } from '../src/kernel-profile';
import { gupMustUnshare } from '../src/gup/must-unshare';

const cow = new Vma(0, 4096, VM_MAYWRITE, null, 0);
const shared = new Vma(0, 4096, VM_MAYWRITE | VM_SHARED, null, 0);
const PIN = FOLL_PIN;
const LT = FOLL_PIN | FOLL_LONGTERM;
const EXCL = PG_anon | PG_anonExclusive;

describe('whether a pin needs a page of its own first', () => {
  const cases: [string, Vma | null, number, number, number, boolean][] = [
    ['a get never', cow, FOLL_GET, PG_anon, PG_anon, false],
    ['a pin for writing never', cow, LT | FOLL_WRITE, PG_anon, PG_anon, false],
    ['an anonymous page that is not exclusive', cow, PIN, PG_anon, PG_anon, true],
    ['an exclusive anonymous page', cow, LT, EXCL, EXCL, false],
    ['an exclusive tail, whose head has the anonymous bit', cow, PIN, PG_anon, PG_anonExclusive, false],
    ['a file page, short', cow, PIN, 0, 0, false],
    ['a file page, long-term, private mapping', cow, LT, 0, 0, true],
    ['a file page, long-term, shared mapping', shared, LT, 0, 0, false],
    ['a file page, long-term, area unknown on the fast path', null, LT, 0, 0, true],
  ];
  it.each(cases)('%s', (_case, vma, flags, headFlags, pageFlags, expected) => {
    expect(gupMustUnshare(linux618, vma, flags, headFlags, pageFlags)).toBe(expected);
  });
});
