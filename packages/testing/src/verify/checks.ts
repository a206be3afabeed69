/**
 * The checks of the suite: what is done to a driver, in how many trials, and what it may answer.
 *
 * A check is a family of trials numbered from 1, so `unplug@17` names one trial for ever: the device is pulled out after
 * step 17. How many there are follows from a survey, which is an undisturbed life of the driver.
 */
import { Driver, driverMeta } from '@pincushion/driver';
import type { ErrorCode, FaultRule } from '@pincushion/sim';
import { EIO, ENOMEM, fault } from '@pincushion/sim';
import { configVariants } from './config-variants';
import type { Act, Conditions, CountedSite, Outcome, Subject } from './trial';

export interface Check {
  readonly name: string;
  /** What is done, for people. */
  readonly title: string;
  /** How many trials there are. */
  count(survey: Outcome, subject: Subject): number;
  /** Of trial `n`, from 1. */
  conditions(n: number, subject: Subject): Omit<Conditions, 'seed'>;
  /** The trial's own number is the seed. */
  readonly seeded?: true;
}

/** How often the random checks roll the dice. */
const ROLLS = 16;
const REBINDS = 10;
/** That run at the same time, where one alone would not do. */
const PROGRAMS = 2;
const LATE_NS_MAX = 100_000;
/** Later than any device answers, and earlier than any driver gives up. */
const PENDING_NS = 1_000_000;

/** Hardware that lies may make the driver send it anywhere; that is not the driver's fault. */
const LYING: readonly ErrorCode[] = ['DMA_FAULT', 'DMA_AFTER_UNPIN', 'DMA_STALE_ACCESS'];

export const CHECKS: readonly Check[] = [
  {
    name: 'example',
    title: 'the example, undisturbed',
    count: () => 1,
    conditions: () => ({ undisturbed: true }),
  },
  {
    name: 'rebind',
    title: `removed and probed again, ${REBINDS} times`,
    count: () => 1,
    conditions: () => ({ undisturbed: true, rebinds: REBINDS }),
  },
  {
    name: 'two-programs',
    title: 'two programs at a time, in random order',
    count: (_survey, subject) => (subject.example === null ? 0 : ROLLS),
    conditions: () => ({ programs: PROGRAMS, schedule: 'random' }),
    seeded: true,
  },
  failing('fail-alloc', 'alloc', 'an allocation of memory fails', -ENOMEM),
  failing('fail-pin', 'pin', 'a pin fails', -ENOMEM),
  failing('fail-map', 'map', 'a DMA mapping fails', -ENOMEM),
  {
    name: 'fail-register',
    title: 'an interrupt, disk or character device is refused',
    count: ({ refusable }) => refusable.throws,
    conditions: (nth) => ({ refused: { nth, of: 'throws' } }),
  },
  failing('fail-dma', 'dma', 'a DMA access of the device fails', -EIO),
  acting('unplug', 'surprise', 'pulled out'),
  acting('unbind', 'driver-unbind', 'driver taken away'),
  acting('reset', 'reset', 'reset', 'reset'),
  acting('suspend', 'suspend', 'suspended and resumed', 'suspend'),
  {
    name: 'late-interrupts',
    title: 'interrupts late and in another order',
    count: ({ hardware }) => (hardware.interrupts === 0 ? 0 : ROLLS),
    conditions: () => ({ mischief: { lateNsMax: LATE_NS_MAX }, schedule: 'random' }),
    seeded: true,
  },
  {
    name: 'lost-interrupt',
    title: 'an interrupt is lost',
    count: ({ hardware }) => hardware.interrupts,
    conditions: (n) => ({ mischief: { lostInterrupt: n } }),
  },
  {
    name: 'doubled-interrupt',
    title: 'an interrupt comes twice',
    count: ({ hardware }) => hardware.interrupts,
    conditions: (n) => ({ mischief: { doubledInterrupt: n } }),
  },
  completing('lost-completion', 'a completion is lost', (n) => fault.lost('completion', n)),
  completing('doubled-completion', 'a completion comes twice', (n) => fault.twice('completion', n)),
  completing('late-completion', 'a completion is pending long after the others', (n) =>
    fault.late('completion', n, PENDING_NS),
  ),
  completing('swapped-completions', 'a completion comes after the next one', (n) => fault.reordered('completion', n)),
  {
    name: 'dead-bus',
    title: 'registers read as ones from one read on',
    count: ({ hardware }) => hardware.registerReads,
    conditions: (n) => ({ mischief: { onesFrom: n }, tolerated: LYING }),
  },
  {
    name: 'zero-bus',
    title: 'registers read as 0 from one read on',
    count: ({ hardware }) => hardware.registerReads,
    conditions: (n) => ({ mischief: { zeroesFrom: n }, tolerated: LYING }),
  },
  {
    name: 'register-noise',
    title: 'a register read gives noise',
    count: ({ hardware }) => hardware.registerReads,
    conditions: (n) => ({ mischief: { noiseAtRead: n }, tolerated: LYING }),
  },
  {
    name: 'dma-noise',
    title: 'the device writes noise to memory',
    count: ({ hardware }) => hardware.dmaWrites,
    conditions: (n) => ({ mischief: { noiseAtWrite: n }, tolerated: LYING }),
  },
  {
    name: 'config',
    title: 'configurations at the edges of the schema',
    count: (_survey, subject) => variantsOf(subject).length,
    conditions: (n, subject) => ({ config: variantsOf(subject)[n - 1] }),
  },
];

function failing(name: string, site: CountedSite, title: string, errno: number): Check {
  return {
    name,
    title,
    count: ({ calls }) => calls[site],
    conditions: (nth) => ({ fault: { site, nth, errno } }),
  };
}

/**
 * Of hardware that posts its completions in a queue, and says so (`DeviceModel.completion`); elsewhere each interrupt is one.
 * Two programs, so that there is another one to come before it.
 */
function completing(name: string, title: string, rule: (n: number) => FaultRule): Check {
  return {
    name,
    title,
    count: ({ hardware }) => PROGRAMS * hardware.completions,
    conditions: (n) => ({ plan: [rule(n)], programs: PROGRAMS }),
  };
}

/** `hook`: only for drivers that have one of their own. */
function acting(name: string, act: Act, title: string, hook?: 'reset' | 'suspend'): Check {
  return {
    name,
    title: `${title} at each step`,
    count: ({ steps }, { driver }) =>
      hook === undefined || (driver.prototype as Driver)[hook] !== Driver.prototype[hook] ? steps : 0,
    conditions: (step) => ({ act: { step, act } }),
  };
}

function variantsOf({ driver, config }: Subject): readonly Readonly<Record<string, unknown>>[] {
  const schema = driverMeta(driver)?.config;
  return schema === undefined ? [] : configVariants(schema, config);
}
