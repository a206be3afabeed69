/**
 * Comparing a step of ours with a step of the recording, in tiers that a memory manager gets right one after the other.
 *
 * 1. results and contents: what the operation returned, what bytes each page holds;
 * 2. which frame is where: the views without flags;
 * 3. counts and exclusivity: which frames live, reference, pin and map counts, PageAnonExclusive, accounting;
 * 4. page-table bits and faults;
 * 5. the other flags of frames, and pages pinned and unpinned on the way.
 *
 * Whole snapshots are compared, not deltas, and each step reports at most its first difference in each tier.
 */
import type { FrameState, Outcome, ProcessAccounts, Step } from './recording';
import type { Snapshot } from './snapshot';
import { pagesOf } from './views';
import type { PageView } from './views';

export const TIERS = [1, 2, 3, 4, 5] as const;
export type Tier = (typeof TIERS)[number];

export const TIER_NAMES: Readonly<Record<Tier, string>> = {
  1: 'results, contents',
  2: 'which frame where',
  3: 'counts, exclusivity',
  4: 'entry bits, faults',
  5: 'other flags, vmstat',
};

export interface Difference {
  readonly tier: Tier;
  /** What differs: `result`, `P A[3]`, `p3 rc`. */
  readonly subject: string;
  readonly expected: string;
  readonly got: string;
  /** The frame it is about, by its name in the recording, where there is one. */
  readonly frame: string | null;
}

/** What our machine did in a step. */
export interface OwnStep {
  readonly outcome: Outcome;
  readonly pinned: number;
  readonly unpinned: number;
  readonly snapshot: Snapshot;
}

/** The first difference of each tier, in order of tiers. `expected` is the snapshot the recording folds to. */
export function compareStep(step: Step, expected: Snapshot, own: OwnStep): readonly Difference[] {
  const differences = new Map<Tier, Difference>();
  const report = (tier: Tier, subject: string, want: string, got: string, frame: string | null = null): undefined => {
    if (want !== got && !differences.has(tier)) differences.set(tier, { tier, subject, expected: want, got, frame });
    return undefined;
  };
  compareOutcome(step, own, report);
  const views = pairViews(expected, own.snapshot);
  for (const view of views) compareView(view, report);
  compareContents(expected, own.snapshot, views, !differences.has(2), report);
  compareFrames(expected, own.snapshot, report);
  compareAccounts(expected, own.snapshot, report);
  return [...differences.values()].sort((a, b) => a.tier - b.tier);
}

type Report = (tier: Tier, subject: string, want: string, got: string, frame?: string | null) => undefined;

function compareOutcome(step: Step, own: OwnStep, report: Report): void {
  report(1, 'result', String(step.res), String(own.outcome.res));
  report(1, 'extra result', step.x ?? '', own.outcome.x ?? '');
  report(4, 'page faults', numberText(step.flt), numberText(own.outcome.flt));
  report(5, 'pages pinned', String(step.pa ?? 0), String(own.pinned));
  report(5, 'pages unpinned', String(step.pr ?? 0), String(own.unpinned));
}

/** One region of one process, in both. */
interface ViewPair {
  readonly process: string;
  readonly region: string;
  readonly expected: readonly PageView[];
  readonly got: readonly PageView[];
}

function pairViews(expected: Snapshot, got: Snapshot): readonly ViewPair[] {
  const pairs: ViewPair[] = [];
  const processes = new Set([...expected.views.keys(), ...got.views.keys()]);
  for (const process of processes) {
    const ours = got.views.get(process);
    const theirs = expected.views.get(process);
    for (const region of new Set([...(theirs?.keys() ?? []), ...(ours?.keys() ?? [])])) {
      const [want, have] = [theirs?.get(region) ?? '', ours?.get(region) ?? ''];
      if (want !== have) pairs.push({ process, region, expected: pagesOf(want), got: pagesOf(have) });
      else pairs.push({ process, region, expected: [], got: [] });
    }
  }
  return pairs;
}

function compareView({ process, region, expected, got }: ViewPair, report: Report): void {
  // A view that was cut off is compared as far as both go.
  const length = Math.max(expected.length, got.length);
  for (let i = 0; i < length; i++) {
    const want = expected[i] as PageView | undefined;
    const have = got[i] as PageView | undefined;
    if (want === undefined || have === undefined) {
      if (Math.min(expected.length, got.length) === 0)
        report(2, `${process} ${region}`, `${expected.length} pages`, `${got.length} pages`);
      return;
    }
    if (want === have) continue;
    const frame = [want.what, have.what].map(frameName).find((name) => name.startsWith('p')) ?? null;
    report(2, `${process} ${region}[${i}]`, want.what, have.what, frame);
    if (want.what === have.what)
      report(4, `${process} ${region}[${i}] ${want.what}`, flagText(want), flagText(have), frame);
  }
}

/**
 * Contents are compared page by page as processes see them, so that another name of a frame is no other content; when all
 * frames are where they should be, by name.
 */
function compareContents(
  expected: Snapshot,
  got: Snapshot,
  views: readonly ViewPair[],
  namesAgree: boolean,
  report: Report,
): void {
  if (namesAgree) {
    for (const [name, state] of expected.frames) {
      const own = got.frames.get(name);
      if (own !== undefined) report(1, `content of ${name}`, String(state.c), String(own.c), name);
    }
    return;
  }
  for (const { process, region, expected: theirs, got: ours } of views) {
    for (let i = 0; i < Math.min(theirs.length, ours.length); i++) {
      const want = contentOf(theirs[i], expected);
      const have = contentOf(ours[i], got);
      if (want === null || have === null) continue;
      report(1, `content of ${process} ${region}[${i}]`, String(want), String(have), frameName(theirs[i].what));
    }
  }
}

/** The first byte that a page shows; null where the snapshot does not say. */
function contentOf(page: PageView, snapshot: Snapshot): number | null {
  if (page.what === 'Z') return 0;
  if (!page.what.startsWith('p')) return null;
  return snapshot.frames.get(frameName(page.what))?.c ?? null;
}

/** Part 0 of a large folio is the folio. */
function frameName(what: string): string {
  return what.replace(/\.0$/, '');
}

const COUNTS = ['rc', 'mc', 'pc', 'em', 'lm', 'o'] as const;

function compareFrames(expected: Snapshot, got: Snapshot, report: Report): void {
  for (const [name, state] of expected.frames) {
    const own = got.frames.get(name);
    if (own === undefined) {
      report(3, name, frameText(state), 'no such frame', name);
      continue;
    }
    if (own === state) continue;
    for (const count of COUNTS) report(3, `${name} ${count}`, numberText(state[count]), numberText(own[count]), name);
    report(3, `${name} exclusive`, isExclusive(state), isExclusive(own), name);
    report(5, `${name} flags`, state.f.replace('X', ''), own.f.replace('X', ''), name);
  }
  for (const [name, own] of got.frames) {
    if (!expected.frames.has(name)) report(3, name, 'no such frame', frameText(own), name);
  }
}

function compareAccounts(expected: Snapshot, got: Snapshot, report: Report): void {
  for (const [process, accounts] of expected.accounts) {
    report(3, `accounts of ${process}`, accountsText(accounts), accountsText(got.accounts.get(process)));
  }
}

function flagText({ flags }: PageView): string {
  return flags === '' ? '-' : flags;
}

function isExclusive(state: FrameState): string {
  return state.f.includes('X') ? 'X' : '-';
}

function numberText(value: number | undefined): string {
  return value === undefined ? '-' : String(value);
}

/** The state of a frame in a line: `rc 1025 (1 pin + 1) mc 1 AXULB byte 7`. */
export function frameText(state: FrameState): string {
  const parts: string[] = [];
  for (const count of COUNTS) {
    const value = state[count];
    if (value !== undefined) parts.push(`${count} ${count === 'rc' ? referencesText(value, state) : value}`);
  }
  return [...parts, state.f, `byte ${state.c}`].join(' ');
}

/** A pin of a small page counts 1024. */
function referencesText(rc: number, state: FrameState): string {
  if (state.o !== undefined || rc < 1024) return String(rc);
  return `${rc} (${rc >> 10} ${rc >> 10 === 1 ? 'pin' : 'pins'} + ${rc & 1023})`;
}

function accountsText(accounts: ProcessAccounts | undefined): string {
  if (accounts === undefined) return 'none';
  const { pin, lck, hp, ul } = accounts;
  return `pinned ${pin} locked ${lck} has-pinned ${hp}${ul === undefined ? '' : ` user ${ul}`}`;
}
