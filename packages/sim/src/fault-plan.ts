/**
 * A fault plan: which calls go wrong in a run, and how, as text or as rules in typed form.
 *
 *     plan    = entry { ("," | ";" | newline) entry }
 *     entry   = site [ "[" sectors "]" ] [ "@" when ] [ "=" effect ]  |  "device" [ "." name ] "@t=" duration [ "=gone" ]
 *     sectors = n | n ".." m                                         of 512 bytes, from 0; for the sites io
 *     when    = n | n ".." m | n ".." | "*"                          the first call unless given
 *     effect  = error name | "error" | "refuse" | "lost" | "twice" | "reorder" | "late:" duration | "delay:" duration
 *             | "stall" | "reset" | "powercut" | ( "partial" | "torn" | "misdirected" ) ":" sectors
 *             | pages                                                what is usual at the site unless given
 *
 * `pin.short@2:4` is another way to write `pin.short@2=4`. After the kernel's fault injection
 * (Documentation/fault-injection/fault-injection.rst), but by count and not by probability, so that a run can be repeated.
 */
import { EIO, errnoOf } from './errno';
import { UsageError } from './errors';
import { FAULT_SITES, checked, kindsInWords, ruleText } from './fault-rules';
import type { FaultEffect, FaultRule, FaultSiteFacts, SectorRange } from './fault-rules';
import { nearestOf } from './nearest-of';
import { parseDuration } from './units';

export class FaultPlan {
  private constructor(readonly rules: readonly FaultRule[]) {}

  /** A plan of rules made by `fault`. Throws FAULT_SITE_INVALID for a rule that cannot be. */
  static of(...rules: readonly FaultRule[]): FaultPlan {
    return new FaultPlan(rules.map(checked));
  }

  /**
   * A plan written as text. Throws `UsageError` FAULT_PLAN_INVALID that names the place in the text, what is possible
   * there, and the nearest site.
   */
  static parse(text: string): FaultPlan {
    const rules: FaultRule[] = [];
    for (const { 0: entry, index } of text.matchAll(/[^,;\n]+/g)) {
      if (entry.trim() !== '') rules.push(new EntryReader(entry.trim(), index + entry.search(/\S/) + 1).read());
    }
    if (rules.length > 0) return new FaultPlan(rules);
    throw new UsageError('FAULT_PLAN_INVALID', 'the fault plan is empty', {
      expected: 'entries such as alloc@3=ENOMEM',
    });
  }

  /** The text form; parsing it gives the same plan. */
  toString(): string {
    return this.rules.map(ruleText).join(',');
  }
}

/** Reads one entry; `at` is the character of the plan where it begins, counted from 1. */
class EntryReader {
  constructor(
    private readonly entry: string,
    private readonly at: number,
  ) {}

  read(): FaultRule {
    const match = /^([^@=\s]*)\s*(?:@\s*(t\s*=\s*)?([^=:\s]*))?\s*(?:[=:]\s*(.*))?$/.exec(this.entry);
    const [, site, timed, when, effect] = (match ?? ['', this.entry]) as (string | undefined)[];
    const name = site ?? '';
    if (name === 'device' || name.startsWith('device.')) return this.device(name, timed, when, effect);
    const [, plain = name, range] = (/^(.*?)\[(.*)\]$/.exec(name) ?? []) as (string | undefined)[];
    const facts = FAULT_SITES.find((known) => known.name === plain);
    if (facts === undefined || match === null) throw this.unknownSite(plain);
    if (timed !== undefined) throw this.wrong(`only device goes by time, not ${name}`, 'a number of the call', timed);
    const [from, to] = this.calls(when ?? '1');
    return {
      site: facts.name,
      from,
      to,
      effect: effect === undefined ? facts.usual : this.effect(facts, effect.trim()),
      ...(range === undefined ? {} : { sectors: this.sectors(facts, range) }),
    };
  }

  private sectors({ name }: FaultSiteFacts, text: string): SectorRange {
    if (!/^io(\.|$)/.test(name)) throw this.wrong(`${name} has no sectors`, 'sectors of io, io.read, …', text);
    const match = /^(\d+)(?:\.\.(\d+))?$/.exec(text.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (Number.isSafeInteger(first) && Number.isSafeInteger(last) && last >= first) return [first, last];
    throw this.wrong('the sectors cannot be understood', 'n or n..m, counted from 0', text);
  }

  private device(name: string, timed: string | undefined, when = '', effect = 'gone'): FaultRule {
    const ns = timed === undefined ? null : parseDuration(when);
    if (ns === null) throw this.wrong('a device goes at a time', 'device@t=2ms=gone', this.entry);
    if (effect.trim() !== 'gone') throw this.wrong('a device can only be gone', 'gone', effect);
    const device = name.slice('device.'.length);
    return { site: 'device', from: ns, to: ns, effect: { kind: 'gone' }, ...(device === '' ? {} : { device }) };
  }

  private calls(when: string): readonly [number, number] {
    if (when === '*') return [1, Infinity];
    const match = /^(\d+)(?:(\.\.)(\d*))?$/.exec(when);
    const from = Number(match?.[1]);
    const to = match?.[2] === undefined ? from : match[3] === '' ? Infinity : Number(match[3]);
    if (match !== null && from >= 1 && to >= from && Number.isSafeInteger(from)) return [from, to];
    throw this.wrong('the calls cannot be understood', 'n, n..m, n.. or *, counted from 1', when);
  }

  private effect(facts: FaultSiteFacts, text: string): FaultEffect {
    const colon = text.indexOf(':');
    const word = colon < 0 ? text : text.slice(0, colon).trim();
    const kind = facts.kinds.find((known) => known === word);
    if (kind === 'late' || kind === 'delay') {
      const ns = colon < 0 ? null : parseDuration(text.slice(colon + 1));
      if (ns !== null) return { kind, ns };
    } else if (kind === 'partial' || kind === 'torn' || kind === 'misdirected') {
      const number = colon < 0 ? '' : text.slice(colon + 1).trim();
      const wanted = kind === 'misdirected' ? /^-?[1-9]\d*$/ : /^\d+$/;
      if (wanted.test(number) && Number.isSafeInteger(Number(number))) return { kind, sectors: Number(number) };
    } else if (kind !== undefined && kind !== 'errno' && kind !== 'short') {
      if (colon < 0) return { kind };
    } else if (facts.kinds.includes('short') && /^[1-9]\d*$/.test(text)) {
      return { kind: 'short', pages: Number(text) };
    } else if (facts.kinds.includes('errno')) {
      const errno = text === 'error' ? EIO : errnoOf(text);
      if (errno > 0) return { kind: 'errno', errno: -errno };
    }
    throw this.wrong(`that cannot happen at ${facts.name}`, kindsInWords(facts), text);
  }

  private unknownSite(name: string): UsageError {
    const names = FAULT_SITES.map((site) => site.name);
    return this.wrong(`there is no site ${name}`, `one of ${names.join(', ')}`, name, nearestOf(name, names));
  }

  private wrong(what: string, expected: string, actual: string, nearest: string | null = null): UsageError {
    return new UsageError('FAULT_PLAN_INVALID', `fault plan, character ${this.at}, in '${this.entry}': ${what}`, {
      expected,
      actual: actual === '' ? 'nothing' : actual,
      ...(nearest === null ? {} : { hint: nearest }),
    });
  }
}
