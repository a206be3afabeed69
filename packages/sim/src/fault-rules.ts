/**
 * What a fault plan can ask for: the sites, what may happen at each, and rules that say when.
 *
 * A site is a place that every call of one kind passes; its calls are counted from 1 from the moment the plan is armed. A
 * rule names a site, the calls it means, and an effect. This file is the vocabulary: the text form is fault-plan.ts,
 * what counts and strikes is fault-sites.ts.
 */
import { EAGAIN, EFAULT, EIO, ENOMEM, errnoName } from './errno';
import { PincushionError } from './errors';
import { parseDuration } from './units';

/**
 * What happens at a site instead of the usual: the call fails with a negative errno; a pin gets at most so many pages; the
 * fast path says no; a DMA access takes longer; a message is lost, comes later, comes twice, or after the next one; the
 * device is pulled out. Of an I/O command, `lost` says done and does nothing; of a write only the first sectors are written, and
 * it fails (`partial`) or says done (`torn`); the data goes to or comes from a place so many sectors on (`misdirected`); the
 * command never ends (`stall`); the device stops answering until it is reset (`reset`), or does so because its power failed,
 * with what was only in its cache (`powercut`).
 */
export type FaultEffect =
  | { readonly kind: 'errno'; readonly errno: number }
  | { readonly kind: 'short'; readonly pages: number }
  | { readonly kind: 'delay' | 'late'; readonly ns: number }
  /** Sectors of 512 bytes; those of a misdirected command may be below zero. */
  | { readonly kind: 'partial' | 'torn' | 'misdirected'; readonly sectors: number }
  | { readonly kind: 'refuse' | 'lost' | 'twice' | 'reorder' | 'gone' | 'stall' | 'reset' | 'powercut' };

export type FaultKind = FaultEffect['kind'];

export type FaultSite =
  | 'alloc'
  | 'pin'
  | 'pin.page'
  | 'pin.short'
  | 'gup.fast'
  | 'migrate'
  | 'map'
  | 'dma'
  | 'dma.read'
  | 'dma.write'
  | 'completion'
  | 'irq'
  | IoSite
  | 'device';

/** Commands that the hardware of a disk carries out: all, or those of a kind. */
export type IoSite = 'io' | 'io.read' | 'io.write' | 'io.flush' | 'io.zeroes' | 'io.trim';

export interface FaultSiteFacts {
  readonly name: FaultSite;
  /** What is counted there. */
  readonly counts: string;
  readonly kinds: readonly FaultKind[];
  /** What happens when a rule says nothing. */
  readonly usual: FaultEffect;
}

const fails = (errno: number): FaultEffect => ({ kind: 'errno', errno: -errno });
const MESSAGE_KINDS: readonly FaultKind[] = ['lost', 'late', 'twice', 'reorder'];
const DMA_KINDS: readonly FaultKind[] = ['errno', 'delay'];
const IO_KINDS: readonly FaultKind[] = ['errno', 'stall', 'reset', 'powercut'];
const IO_WRITE_KINDS: readonly FaultKind[] = ['errno', 'partial', 'torn', 'misdirected', 'lost', ...IO_KINDS.slice(1)];
/** Below the prefix of the sites of I/O commands. */
const IO_SITE = /^io(\.|$)/;

/** All sites there are; the manual (docs/reference/faults.md) has a row for each. */
export const FAULT_SITES: readonly FaultSiteFacts[] = Object.freeze([
  { name: 'alloc', counts: 'allocations of page frames', kinds: ['errno'], usual: fails(ENOMEM) },
  { name: 'pin', counts: 'pin calls', kinds: ['errno'], usual: fails(EFAULT) },
  { name: 'pin.page', counts: 'pages of all pin calls', kinds: ['errno'], usual: fails(EFAULT) },
  { name: 'pin.short', counts: 'pin calls', kinds: ['short'], usual: { kind: 'short', pages: 1 } },
  { name: 'gup.fast', counts: 'walks of the fast path', kinds: ['refuse'], usual: { kind: 'refuse' } },
  { name: 'migrate', counts: 'folios to be moved', kinds: ['errno'], usual: fails(EAGAIN) },
  { name: 'map', counts: 'DMA mappings and coherent buffers to be made', kinds: ['errno'], usual: fails(ENOMEM) },
  { name: 'dma', counts: 'accesses of devices', kinds: DMA_KINDS, usual: fails(EIO) },
  { name: 'dma.read', counts: 'reads of devices', kinds: DMA_KINDS, usual: fails(EIO) },
  { name: 'dma.write', counts: 'writes of devices', kinds: DMA_KINDS, usual: fails(EIO) },
  { name: 'completion', counts: 'completions of devices', kinds: MESSAGE_KINDS, usual: { kind: 'lost' } },
  { name: 'irq', counts: 'interrupts raised', kinds: MESSAGE_KINDS, usual: { kind: 'lost' } },
  { name: 'io', counts: 'I/O commands of disks', kinds: IO_KINDS, usual: fails(EIO) },
  {
    name: 'io.read',
    counts: 'commands that read',
    kinds: ['errno', 'misdirected', 'stall', 'reset', 'powercut'],
    usual: fails(EIO),
  },
  { name: 'io.write', counts: 'commands that write data', kinds: IO_WRITE_KINDS, usual: fails(EIO) },
  {
    name: 'io.flush',
    counts: 'commands that flush',
    kinds: ['errno', 'lost', 'stall', 'reset', 'powercut'],
    usual: { kind: 'lost' },
  },
  {
    name: 'io.zeroes',
    counts: 'commands that write zeroes',
    kinds: ['errno', 'lost', 'stall', 'reset', 'powercut'],
    usual: fails(EIO),
  },
  {
    name: 'io.trim',
    counts: 'commands that deallocate',
    kinds: ['errno', 'lost', 'stall', 'reset', 'powercut'],
    usual: fails(EIO),
  },
  { name: 'device', counts: 'virtual time since boot', kinds: ['gone'], usual: { kind: 'gone' } },
]);

/** The place of a site in `FAULT_SITES`; -1 for what is none. */
export function siteIndex(name: string): number {
  return FAULT_SITES.findIndex((site) => site.name === name);
}

/** One line of a plan. */
export interface FaultRule {
  readonly site: FaultSite;
  /** First and last call it means, counted from 1. For the site `device` both are the time, in virtual nanoseconds. */
  readonly from: number;
  readonly to: number;
  readonly effect: FaultEffect;
  /** For the site `device`: which one, by name; the first of the machine unless given. */
  readonly device?: string;
  /** For the sites of I/O commands: only those that touch one of these sectors of 512 bytes are meant and counted. */
  readonly sectors?: SectorRange;
}

/** First and last sector, of 512 bytes each. */
export type SectorRange = readonly [first: number, last: number];

/** Which calls: the n-th, from the n-th to the m-th, or all. */
export type FaultWhen = number | readonly [from: number, to: number] | '*';

/** Duration: nanoseconds, or a text such as `5us`. */
export type FaultDuration = number | string;

type MessageSite = 'completion' | 'irq';
type DmaSite = 'dma' | 'dma.read' | 'dma.write';

/** Rules in typed form, for `FaultPlan.of`. Each throws FAULT_SITE_INVALID for what cannot be. */
export const fault = Object.freeze({
  /** A call fails; with the usual error of its site unless `errno` (of either sign) is given. */
  fails(site: 'alloc' | 'pin' | 'pin.page' | 'migrate' | 'map' | DmaSite, when: FaultWhen, errno?: number): FaultRule {
    const usual = FAULT_SITES[siteIndex(site)]?.usual;
    return rule(site, when, errno === undefined ? usual : { kind: 'errno', errno: -Math.abs(errno) });
  },
  /** A pin call gets at most so many pages. */
  shortPin(when: FaultWhen, pages: number): FaultRule {
    return rule('pin.short', when, { kind: 'short', pages });
  },
  /** The fast path of get_user_pages takes nothing, so that the slow one has to. */
  fastPathRefuses(when: FaultWhen = '*'): FaultRule {
    return rule('gup.fast', when, { kind: 'refuse' });
  },
  /** A DMA access takes longer: what its device does next comes that much later. */
  slowDma(when: FaultWhen, delay: FaultDuration, site: DmaSite = 'dma'): FaultRule {
    return rule(site, when, { kind: 'delay', ns: nanoseconds(delay) });
  },
  /** A completion or an interrupt never comes. */
  lost(site: MessageSite, when: FaultWhen): FaultRule {
    return rule(site, when, { kind: 'lost' });
  },
  /** … comes later. */
  late(site: MessageSite, when: FaultWhen, delay: FaultDuration): FaultRule {
    return rule(site, when, { kind: 'late', ns: nanoseconds(delay) });
  },
  /** … comes twice. */
  twice(site: MessageSite, when: FaultWhen): FaultRule {
    return rule(site, when, { kind: 'twice' });
  },
  /** … comes after the next one of its device. */
  reordered(site: MessageSite, when: FaultWhen): FaultRule {
    return rule(site, when, { kind: 'reorder' });
  },
  /** Something happens to an I/O command of a disk, or to those that touch a range of sectors. */
  io(site: IoSite, when: FaultWhen, effect: FaultEffect, sectors?: SectorRange): FaultRule {
    return checked({ ...rule(site, when, effect), ...(sectors === undefined ? {} : { sectors }) });
  },
  /** A device is pulled out, so long after boot: the first of the machine, or the one named. */
  deviceGone(at: FaultDuration, device?: string): FaultRule {
    const ns = nanoseconds(at);
    return checked({
      site: 'device',
      from: ns,
      to: ns,
      effect: { kind: 'gone' },
      ...(device === undefined ? {} : { device }),
    });
  },
});

function rule(site: FaultSite, when: FaultWhen, effect: FaultEffect): FaultRule {
  const [from, to] = when === '*' ? [1, Infinity] : typeof when === 'number' ? [when, when] : when;
  return checked({ site, from, to, effect });
}

function nanoseconds(duration: FaultDuration): number {
  return parseDuration(duration) ?? NaN;
}

/** Returns the rule. Throws FAULT_SITE_INVALID for a site, a count or an effect that cannot be. */
export function checked(given: FaultRule): FaultRule {
  const reason = problem(given);
  if (reason === null) return given;
  throw new PincushionError('FAULT_SITE_INVALID', `no fault can be planned at site '${given.site}'`, reason);
}

/** What is wrong with a rule; null when nothing is. */
function problem({ site, from, to, effect, sectors }: FaultRule): { expected: string; actual: string } | null {
  const facts = FAULT_SITES.find(({ name }) => name === site);
  if (facts === undefined)
    return { expected: `one of ${FAULT_SITES.map(({ name }) => name).join(', ')}`, actual: site };
  const least = site === 'device' ? 0 : 1;
  const whole =
    Number.isSafeInteger(from) && from >= least && to >= from && (to === Infinity || Number.isSafeInteger(to));
  if (!whole) {
    const expected = site === 'device' ? 'a duration' : 'calls counted from 1, the last not before the first';
    return { expected, actual: `from ${from} to ${to}` };
  }
  if (sectors !== undefined && !(IO_SITE.test(site) && isRange(sectors))) {
    return { expected: 'sectors of an I/O command, counted from 0', actual: `${sectors.join('..')} of ${site}` };
  }
  if (!facts.kinds.includes(effect.kind)) return { expected: kindsInWords(facts), actual: effect.kind };
  if (effect.kind === 'errno' && !(Number.isSafeInteger(effect.errno) && effect.errno < 0)) {
    return { expected: 'an error number', actual: String(effect.errno) };
  }
  if (effect.kind === 'short' && !(Number.isSafeInteger(effect.pages) && effect.pages >= 1)) {
    return { expected: 'at least 1 page', actual: String(effect.pages) };
  }
  if ('sectors' in effect && !isSectorCount(effect)) {
    return { expected: 'whole sectors of 512 bytes', actual: `${effect.kind}:${effect.sectors}` };
  }
  if ((effect.kind === 'late' || effect.kind === 'delay') && !(effect.ns >= 0)) {
    return { expected: 'a duration such as 5us', actual: 'something else' };
  }
  return null;
}

function isRange([first, last]: SectorRange): boolean {
  return Number.isSafeInteger(first) && first >= 0 && Number.isSafeInteger(last) && last >= first;
}

/** A write may be torn before its first sector; a misdirected command goes anywhere but to its own place. */
function isSectorCount({ kind, sectors }: FaultEffect & { readonly sectors: number }): boolean {
  return Number.isSafeInteger(sectors) && (kind === 'misdirected' ? sectors !== 0 : sectors >= 0);
}

/** `an error such as ENOMEM`, `lost, late:TIME, twice, reorder`. */
export function kindsInWords({ kinds, usual }: FaultSiteFacts): string {
  return kinds
    .map((kind) => {
      if (kind === 'errno') return usual.kind === 'errno' ? `an error such as ${errnoName(usual.errno)}` : 'an error';
      if (kind === 'short') return 'a number of pages';
      if (kind === 'late' || kind === 'delay') return `${kind}:TIME`;
      return kind === 'partial' || kind === 'torn' || kind === 'misdirected' ? `${kind}:SECTORS` : kind;
    })
    .join(', ');
}

/** A rule as the text form has it: `dma@2=delay:5us`. */
export function ruleText({ site, from, to, effect, device, sectors }: FaultRule): string {
  if (site === 'device') return `device${device === undefined ? '' : `.${device}`}@t=${exactDuration(from)}=gone`;
  const when = from === to ? `${from}` : to !== Infinity ? `${from}..${to}` : from === 1 ? '*' : `${from}..`;
  const where = sectors === undefined ? '' : `[${sectors[0] === sectors[1] ? sectors[0] : sectors.join('..')}]`;
  return `${site}${where}@${when}=${effectText(effect)}`;
}

function effectText(effect: FaultEffect): string {
  switch (effect.kind) {
    case 'errno':
      return errnoName(effect.errno);
    case 'short':
      return String(effect.pages);
    case 'late':
    case 'delay':
      return `${effect.kind}:${exactDuration(effect.ns)}`;
    case 'partial':
    case 'torn':
    case 'misdirected':
      return `${effect.kind}:${effect.sectors}`;
    default:
      return effect.kind;
  }
}

/** Exact, and as a person would write it: `5us`, `1500ns`. */
function exactDuration(ns: number): string {
  if (ns !== 0 && ns % 1_000_000 === 0) return `${ns / 1_000_000}ms`;
  return ns !== 0 && ns % 1000 === 0 ? `${ns / 1000}us` : `${ns}ns`;
}
