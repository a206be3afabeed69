import { UsageError } from '@pincushion/sim';
import { parseScript, scriptText } from '../src/index';

const steps = (text: string) => parseScript(text, 'test').steps.map(({ by, op, a }) => ({ by, op, ...a }));

function refusal(text: string): string {
  try {
    parseScript(text, 'test');
  } catch (error) {
    if (error instanceof UsageError && error.code === 'SCENARIO_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
}

describe('a scenario written by hand', () => {
  it('has operations with arguments in their order, parted by semicolons', () => {
    expect(steps('mmap A anon 1; pin p A 0 1; fork C1; w A 0 7')).toEqual([
      { by: 'P', op: 'mmap', r: 'A', kind: 'anon', n: 1 },
      { by: 'P', op: 'pin', id: 'p', r: 'A', i: 0, n: 1 },
      { by: 'P', op: 'fork', c: 'C1' },
      { by: 'P', op: 'w', r: 'A', i: 0, v: 7 },
    ]);
  });

  it('means the same in the notation of the recorder', () => {
    const short =
      'file F ext4 3 16; mmap B fshared F 3 r; fork C1; C1: r B 0; madvise B 0 2 PAGEOUT; madvise B DONTNEED';
    const long = `scenario a/b a
P file f=F fs=ext4 n=3 v=16
P mmap r=B kind=fshared f=F n=3 prot=r
P fork c=C1
C1 r r=B i=0
P madvise r=B i=0 n=2 adv=PAGEOUT
P madvise adv=DONTNEED r=B
end`;
    expect(steps(short)).toEqual(steps(long));
    expect(parseScript(long, 'test').name).toBe('a/b');
  });

  it('mixes words in order with names, and takes lines and remarks', () => {
    const text = '# memory\nmmap A anon 2 # two pages\nmmap A i=1 n=1 kind=anon; C1: w A 0\n';
    expect(refusal(text)).toMatch(/there is no process "C1"/);
    expect(steps(text.replace('C1: ', ''))).toHaveLength(3);
  });

  it('is written as the recorder reads it, and read back the same', () => {
    const script = parseScript('mmap A anon 2; fork C1; C1: exit; vmsplice q A 0 1 gift=1', 'test');
    const text = scriptText(script);
    expect(text).toBe(
      'scenario asked asked\nP mmap r=A kind=anon n=2\nP fork c=C1\nC1 exit\nP vmsplice id=q r=A i=0 n=1 gift=1\nend\n',
    );
    expect(parseScript(text, 'test')).toEqual(script);
  });
});

describe('what cannot be is refused with its place and the nearest word', () => {
  it.each([
    ['mmap A anon 1; pni p A 0 1', /SCENARIO_INVALID: test:1:16: step 2: there is no operation "pni".*pin/],
    ['mmap A anom 1', /test:1:8: step 1: .*"anom".*anon/],
    ['mmap A anon 1\nw A x=1', /test:2:5: step 2: w has no argument "x".*w r i \[v\]/],
    ['mmap A anon 1; w B 0', /step 2: there is no region "B".*one of A/],
    ['w A 0', /there is no region "A".*made before/],
    ['mmap A anon 1; w A 0 256', /"256" cannot be v of w.*0 to 255/],
    ['mmap A anon 1; w A 0 1 2', /w has nothing to do with "2"/],
    ['mmap A anon 1; w A', /w lacks i/],
    ['mmap A anon 1; madvise A DONTNED', /DONTNEED/],
    ['mmap A fshared 1', /there is no file "1"|mmap lacks f/],
    ['file F ext4 1; mmap A anon f=F n=1', /memory of kind anon has no file/],
    ['mmap A anon 1; unpin b', /there is no buffer, transfer or pipe "b"/],
    ['fork C1; fork C1', /there is a process C1 already/],
    ['mmap A anon 1; C2: w A 0', /there is no process "C2".*one of P/],
    ['P:', /P does nothing/],
    ['mmap A anon 1; end; w A 0', /comes after the end/],
    ['mmap A anon n=1 n=2', /is given n twice/],
    ['scenario a b\nend\nscenario c d', /a second scenario begins/],
    [' # nothing\n', /test: there is no step/],
  ])('%j', (text, message) => {
    expect(refusal(text)).toMatch(message);
  });
});
