import { EFAULT, EIO, ENOMEM, FAULT_SITES, FaultPlan, FaultSites, World, fault } from '@pincushion/sim';
import type { FaultRule } from '@pincushion/sim';

function wrong(text: string): string {
  try {
    FaultPlan.parse(text);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error(`accepted: ${text}`);
}

const ENTRIES: readonly (readonly [string, FaultRule])[] = [
  ['alloc@3=ENOMEM', fault.fails('alloc', 3, ENOMEM)],
  ['pin.page@5=EFAULT', fault.fails('pin.page', 5)],
  ['pin.short@2=4', fault.shortPin(2, 4)],
  ['gup.fast@*=refuse', fault.fastPathRefuses()],
  ['migrate@1=EAGAIN', fault.fails('migrate', 1)],
  ['dma.write@7=EIO', fault.fails('dma.write', 7)],
  ['dma@2=delay:5us', fault.slowDma(2, '5us')],
  ['completion@4=lost', fault.lost('completion', 4)],
  ['completion@4..6=late:1ms', fault.late('completion', [4, 6], '1ms')],
  ['completion@4=twice', fault.twice('completion', 4)],
  ['completion@4..=reorder', fault.reordered('completion', [4, Infinity])],
  ['irq@3=lost', fault.lost('irq', 3)],
  ['io@500=reset', fault.io('io', 500, { kind: 'reset' })],
  ['io.read[2048..4095]@*=EIO', fault.io('io.read', '*', { kind: 'errno', errno: -EIO }, [2048, 4095])],
  ['io[7]@2..=stall', fault.io('io', [2, Infinity], { kind: 'stall' }, [7, 7])],
  ['io.write@3=torn:0', fault.io('io.write', 3, { kind: 'torn', sectors: 0 })],
  ['io.write@3..5=misdirected:-64', fault.io('io.write', [3, 5], { kind: 'misdirected', sectors: -64 })],
  ['io.flush@2=lost', fault.io('io.flush', 2, { kind: 'lost' })],
  ['device@t=2ms=gone', fault.deviceGone('2ms')],
  ['device.nvme0@t=1500ns=gone', fault.deviceGone(1500, 'nvme0')],
];

describe('a fault plan', () => {
  it.each(ENTRIES)('says the same as text and as a rule: %s', (text, rule) => {
    expect(FaultPlan.parse(text).rules).toEqual([rule]);
    expect(FaultPlan.of(rule).toString()).toBe(text);
  });

  it('is made of rules or of text', () => {
    const plan = FaultPlan.of(fault.lost('completion', 40), fault.late('irq', 90, '1ms'));
    expect(plan.toString()).toBe('completion@40=lost,irq@90=late:1ms');
  });

  it('has entries apart by commas, semicolons or lines, and usual effects', () => {
    const plan = FaultPlan.parse(' alloc ; irq@2,\n pin.short@2:4 \n dma@1 = error\n');
    expect(plan.toString()).toBe('alloc@1=ENOMEM,irq@2=lost,pin.short@2=4,dma@1=EIO');
    expect(FaultPlan.parse(plan.toString())).toEqual(plan);
  });

  it.each([
    ['', /FAULT_PLAN_INVALID: the fault plan is empty/],
    [
      'alloc@1, pin.pag@5',
      /FAULT_PLAN_INVALID: fault plan, character 10, in 'pin\.pag@5': there is no site pin\.pag\. .*Try pin\.page/,
    ],
    ['alloc@0', /the calls cannot be understood\. Expected n, n\.\.m, n\.\. or \*/],
    ['alloc@5..3', /the calls cannot be understood/],
    ['alloc@1=lost', /that cannot happen at alloc\. Expected an error such as ENOMEM; got lost/],
    ['irq@1=ENOMEM', /that cannot happen at irq\. Expected lost, late:TIME, twice, reorder/],
    ['irq@1=late', /that cannot happen at irq/],
    ['irq@1=lost:3', /that cannot happen at irq/],
    ['pin@1=ENOSUCH', /that cannot happen at pin/],
    ['pin.short@1=0', /that cannot happen at pin\.short\. Expected a number of pages; got 0/],
    ['alloc@t=2ms', /only device goes by time/],
    ['io.raed@1', /there is no site io\.raed\. .*Try io\.read/],
    [
      'io.read@1=torn:3',
      /that cannot happen at io\.read\. Expected an error such as EIO, misdirected:SECTORS, stall, reset/,
    ],
    ['io.write@1=torn', /that cannot happen at io\.write/],
    ['io.write@1=torn:-1', /that cannot happen at io\.write/],
    ['io.write@1=misdirected:0', /that cannot happen at io\.write/],
    ['io.write[9..3]@1', /the sectors cannot be understood\. Expected n or n\.\.m, counted from 0; got 9\.\.3/],
    ['io.write[x]@1', /the sectors cannot be understood/],
    ['dma[3]@1', /dma has no sectors/],
    ['device@2', /a device goes at a time\. Expected device@t=2ms=gone/],
    ['device@t=2ms=lost', /a device can only be gone/],
  ])('that cannot be is refused, with its place: %j', (text, message) => {
    expect(wrong(text)).toMatch(message);
  });

  it('in typed form is checked, too', () => {
    expect(() => fault.fails('alloc', 0)).toThrow(/FAULT_SITE_INVALID: no fault can be planned at site 'alloc'/);
    expect(() => fault.late('irq', 1, 'soon')).toThrow(/a duration such as 5us/);
    expect(() => fault.shortPin(1, 0)).toThrow(/at least 1 page/);
    expect(() => fault.deviceGone('soon')).toThrow(/FAULT_SITE_INVALID/);
    const rule = { site: 'alloc', from: 1, to: 1, effect: { kind: 'lost' } } as const;
    expect(() => FaultPlan.of(rule)).toThrow(/Expected an error such as ENOMEM; got lost/);
  });

  it('knows sites each of which has a usual effect', () => {
    for (const { kinds, usual } of FAULT_SITES) expect(kinds).toContain(usual.kind);
  });
});

describe('a plan that is armed', () => {
  const armed = (text: string): FaultSites => {
    const sites = new FaultSites();
    sites.armPlan(FaultPlan.parse(text));
    return sites;
  };

  it('strikes the calls it means, and counts from when it was armed', () => {
    const sites = armed('alloc@2..3');
    expect([1, 2, 3, 4].map(() => sites.hit('alloc'))).toEqual([0, -ENOMEM, -ENOMEM, 0]);
    sites.armPlan(FaultPlan.parse('alloc@1=EIO'));
    expect([sites.hit('alloc'), sites.hit('alloc'), sites.count('alloc')]).toEqual([-EIO, 0, 6]);
  });

  it('fails page k of a pin as the kernel does: short before it, then its error (E-07)', () => {
    const sites = armed('pin.page@5=EFAULT');
    expect([sites.pinCall(3), sites.pinCall(8), sites.pinCall(7), sites.pinCall(7)]).toEqual([3, 1, -EFAULT, 7]);
  });

  it('shortens the n-th pin call, and fails another', () => {
    const sites = armed('pin.short@2:4,pin@3=EFAULT');
    expect([sites.pinCall(8), sites.pinCall(8), sites.pinCall(4), sites.pinCall(4)]).toEqual([8, 4, -EFAULT, 4]);
    expect(armed('pin.short@1:4').pinCall(2)).toBe(2);
  });

  it('counts DMA by direction and in all', () => {
    const sites = armed('dma.write@2,dma@3=delay:5us');
    expect([true, false, true, true].map((isWrite) => sites.dmaAccess(isWrite)?.kind ?? '')).toEqual([
      '',
      '',
      'delay',
      '',
    ]);
    expect([sites.count('dma'), sites.count('dma.write'), sites.count('dma.read')]).toEqual([4, 3, 1]);
  });

  it('counts I/O commands by kind and in all, and for a rule with sectors those that touch them', () => {
    const sites = armed('io@3=reset,io.write@2=torn:1,io.read[8..15]@2=EIO');
    const kinds = [
      sites.ioCommand('io.write', 0, 8),
      sites.ioCommand('io.read', 15, 1), // the first that touches the range
      sites.ioCommand('io.flush', 0, 0), // the third of all
      sites.ioCommand('io.write', 0, 8),
      sites.ioCommand('io.read', 0, 8), // up to the range
      sites.ioCommand('io.read', 16, 8), // behind it
      sites.ioCommand('io.read', 0, 9),
    ].map((effect) => effect?.kind ?? '');
    expect(kinds).toEqual(['', '', 'reset', 'torn', '', '', 'errno']);
    expect([sites.count('io'), sites.count('io.read'), sites.strikes, sites.strikesOf('reset')]).toEqual([7, 4, 3, 1]);
    expect([sites.plans('torn'), sites.plans('powercut')]).toEqual([true, false]);
  });

  it('pulls devices out that are plugged in before or after, by name or the first', () => {
    const sites = new World().faults;
    const gone: (readonly [string, number])[] = [];
    const plug = (name: string): void => {
      sites.attachDevice(name, (atNs, wanted) => {
        if (wanted()) gone.push([name, atNs]);
      });
    };
    plug('a');
    sites.armPlan(FaultPlan.parse('device@t=1us,device.b@t=2us,device.c@t=3us'));
    plug('b');
    expect(gone).toEqual([
      ['a', 1000],
      ['b', 2000],
    ]);
    expect([sites.missingDevices(), sites.deviceNames()]).toEqual([['c'], ['a', 'b']]);
  });

  it('is over when it is disarmed, unless somebody watches', () => {
    const sites = armed('irq@1');
    const unwatch = sites.watch();
    sites.disarm();
    expect([sites.armed, sites.effect('irq')]).toEqual([true, null]);
    unwatch();
    unwatch();
    expect(sites.armed).toBe(false);
  });
});
