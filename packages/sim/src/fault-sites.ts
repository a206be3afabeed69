/**
 * Seams for faults: a call site asks whether this time something has to go wrong.
 *
 *     if (faults.armed) { const errno = faults.hit('map'); if (errno !== 0) return errno; }
 *
 * Calls are counted from the first `arm` on. One field test when off. The vocabulary is fault-rules.ts.
 * Source followed: lib/fault-inject.c with `times = 1`, by count and not by probability.
 */
import { PincushionError } from './errors';
import type { FaultPlan } from './fault-plan';
import { FAULT_SITES, siteIndex } from './fault-rules';
import type { FaultEffect, FaultRule, FaultSite, IoSite, SectorRange } from './fault-rules';

/** One call that fails. */
export interface NthFault {
  /** Which call from now on fails, counted from 1; 0 fails none and only counts. */
  nth: number;
  /** What it fails with: a negative errno. */
  errno: number;
}

interface ArmedRule {
  readonly site: number;
  readonly from: number;
  readonly to: number;
  readonly effect: FaultEffect;
  /** Of a rule for a range: its sectors, and the calls that touched them. */
  readonly sectors: SectorRange | null;
  touched: number;
}

/** Pulls a device out `atNs` after boot, if `wanted` still says so then. */
type Unplug = (atNs: number, wanted: () => boolean) => undefined;

const PIN = siteIndex('pin');
const PIN_PAGE = siteIndex('pin.page');
const PIN_SHORT = siteIndex('pin.short');
const DMA = siteIndex('dma');
const DMA_READ = siteIndex('dma.read');
const DMA_WRITE = siteIndex('dma.write');
const IO = siteIndex('io');

export class FaultSites {
  /** Whether something is armed or watched; test this before anything else here. */
  armed = false;
  /** Calls that a rule has struck so far. Devices that were pulled out and pages of pins are not among them. */
  get strikes(): number {
    let all = 0;
    for (const times of this.struck.values()) all += times;
    return all;
  }

  private readonly struck = new Map<FaultEffect['kind'], number>();
  private rules: ArmedRule[] = [];
  private watchers = 0;
  private readonly counts = new Float64Array(FAULT_SITES.length);
  private readonly devices = new Map<string, Unplug>();
  private unplugs: FaultRule[] = [];

  // --- who plans ----------------------------------------------------------------------------------------------------

  /** Lets one later call at the site fail. Several rules may be armed; each strikes once. */
  arm(site: FaultSite, rule: NthFault): void {
    const index = siteIndex(site);
    if (index < 0 || !Number.isSafeInteger(rule.nth) || rule.nth < 0 || !(rule.errno < 0)) {
      throw new PincushionError('FAULT_SITE_INVALID', `no fault can be armed at site '${site}'`, {
        expected: `a site of ${FAULT_SITES.map(({ name }) => name).join(', ')}, nth >= 0, errno < 0`,
        actual: `nth ${rule.nth}, errno ${rule.errno}`,
      });
    }
    const call = rule.nth === 0 ? 0 : this.counts[index] + rule.nth;
    this.rules.push({
      site: index,
      from: call,
      to: call,
      effect: { kind: 'errno', errno: rule.errno },
      sectors: null,
      touched: 0,
    });
    this.armed = true;
  }

  /**
   * Arms a plan: its counts begin now, its times are virtual time since boot. Devices that go by time may be plugged in
   * before or after this.
   */
  armPlan({ rules }: FaultPlan): void {
    for (const rule of rules) {
      if (rule.site === 'device') {
        this.unplugs.push(rule);
        const unplug = this.devices.get(rule.device ?? this.deviceNames()[0]);
        if (unplug !== undefined) this.start(rule, unplug);
        continue;
      }
      const site = siteIndex(rule.site);
      const { sectors = null, effect } = rule;
      const before = sectors === null ? this.counts[site] : 0;
      this.rules.push({ site, from: before + rule.from, to: before + rule.to, effect, sectors, touched: 0 });
    }
    this.armed = true;
  }

  /** Forgets all rules and counts. Devices that were to go stay. */
  disarm(): void {
    this.rules = [];
    this.unplugs = [];
    this.counts.fill(0);
    this.armed = this.watchers > 0;
  }

  /** Calls at the site since the first `arm`. */
  count(site: FaultSite): number {
    return this.counts[siteIndex(site)];
  }

  /** Names of devices that a plan wants to pull out and that are not there; to be asked when the machine is up. */
  missingDevices(): readonly string[] {
    return this.unplugs.flatMap(({ device }) => (device === undefined || this.devices.has(device) ? [] : [device]));
  }

  /** Names of the devices that can be pulled out, in the order in which they were plugged in. */
  deviceNames(): readonly string[] {
    return [...this.devices.keys()];
  }

  // --- call sites ---------------------------------------------------------------------------------------------------

  /** Counts a call; 0, or the errno that it has to fail with. Any context. */
  hit(site: FaultSite): number {
    return errnoIn(this.strike(siteIndex(site)));
  }

  /** Counts a call; what has to happen to it, or null. Any context. */
  effect(site: FaultSite): FaultEffect | null {
    return this.strike(siteIndex(site));
  }

  /**
   * Counts a pin call of `nr` pages (at least 1): how many it may take, or the errno that it fails with. A page that fails
   * ends the call before it, and fails a call that begins with it, as get_user_pages does (E-07).
   */
  pinCall(nr: number): number {
    const error = errnoIn(this.strike(PIN));
    const short = this.strike(PIN_SHORT);
    if (error !== 0) return error;
    const most = short !== null && short.kind === 'short' && short.pages < nr ? short.pages : nr;
    const before = this.counts[PIN_PAGE];
    const last = this.rules.some(({ site }) => site === PIN_PAGE) ? most : 0;
    for (let page = 1; page <= last; page++) {
      const failure = errnoIn(this.find(PIN_PAGE, before + page));
      if (failure === 0) continue;
      this.counts[PIN_PAGE] = before + (page === 1 ? 1 : page - 1); // A page that ended a call is asked for again.
      return page === 1 ? failure : page - 1;
    }
    this.counts[PIN_PAGE] = before + most;
    return most;
  }

  /** Counts an access of a device; what has to happen to it, or null. */
  dmaAccess(isWrite: boolean): FaultEffect | null {
    const general = this.strike(DMA);
    const special = this.strike(isWrite ? DMA_WRITE : DMA_READ);
    return general ?? special;
  }

  /**
   * Counts an I/O command of a disk's hardware on `sectors` sectors of 512 bytes from `first` on (0 sectors: a flush): what has
   * to happen to it, or null.
   */
  ioCommand(site: IoSite, first: number, sectors: number): FaultEffect | null {
    const general = this.strikeIo(IO, first, sectors);
    const special = site === 'io' ? null : this.strikeIo(siteIndex(site), first, sectors);
    return general ?? special;
  }

  /** Of `strikes`, those with an effect of this kind. */
  strikesOf(kind: FaultEffect['kind']): number {
    return this.struck.get(kind) ?? 0;
  }

  /** Whether a rule is armed whose effect is of this kind. */
  plans(kind: FaultEffect['kind']): boolean {
    return this.rules.some(({ effect }) => effect.kind === kind);
  }

  /** By the bus: a device that a plan can pull out. */
  attachDevice(name: string, unplug: Unplug): void {
    const isFirst = this.devices.size === 0;
    this.devices.set(name, unplug);
    for (const rule of this.unplugs) {
      if (rule.device === name || (isFirst && rule.device === undefined)) this.start(rule, unplug);
    }
  }

  /** Keeps `armed` on for somebody who watches calls pass; the result ends that. */
  watch(): () => undefined {
    this.watchers++;
    this.armed = true;
    let ended = false;
    return () => {
      if (ended) return undefined;
      ended = true;
      if (--this.watchers === 0 && this.rules.length === 0) this.armed = false;
      return undefined;
    };
  }

  // --- private ------------------------------------------------------------------------------------------------------

  private start(rule: FaultRule, unplug: Unplug): void {
    unplug(rule.from, () => this.unplugs.includes(rule));
  }

  private strike(site: number): FaultEffect | null {
    const effect = this.find(site, ++this.counts[site]);
    if (effect !== null) this.noteStrike(effect);
    return effect;
  }

  /** As `strike`, for rules of which some mean a range: each of those counts what touches its sectors. */
  private strikeIo(site: number, first: number, sectors: number): FaultEffect | null {
    const call = ++this.counts[site];
    let struck: FaultEffect | null = null;
    for (const rule of this.rules) {
      if (rule.site !== site) continue;
      let number = call;
      if (rule.sectors !== null) {
        if (first > rule.sectors[1] || first + sectors <= rule.sectors[0]) continue;
        number = ++rule.touched;
      }
      if (number >= rule.from && number <= rule.to) struck ??= rule.effect;
    }
    if (struck !== null) this.noteStrike(struck);
    return struck;
  }

  private noteStrike({ kind }: FaultEffect): void {
    this.struck.set(kind, this.strikesOf(kind) + 1);
  }

  /** The effect of the first rule that means this call. */
  private find(site: number, call: number): FaultEffect | null {
    for (const rule of this.rules) {
      if (rule.site === site && call >= rule.from && call <= rule.to) return rule.effect;
    }
    return null;
  }
}

function errnoIn(effect: FaultEffect | null): number {
  return effect !== null && effect.kind === 'errno' ? effect.errno : 0;
}
