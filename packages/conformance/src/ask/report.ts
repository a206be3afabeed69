/**
 * What `ask` tells: as a document for programs, and as text for people. Pure: colours are handed in, nothing is printed.
 *
 * After each step the text has what acted and by which rule, then the page tables of all processes and the frames, in
 * words. What changed in the step is marked by `▸`.
 */
import type { FrameState, ProcessAccounts } from '../recording';
import type { ConformanceStyle } from '../report';
import { PLAIN_CONFORMANCE_STYLE } from '../report';
import type { Script } from '../script/script';
import { outcomeText, sentence } from '../story';
import { pagesOf, splitName } from '../views';
import type { Acted, AskedStep } from './ask';

// ---- the document ------------------------------------------------------------------------------------------------------

/** The document of `ask --json`. */
export interface AskReport {
  readonly schemaVersion: 1;
  readonly name: string;
  /** The kernel asked, and where its behaviour is known from. */
  readonly kernel: string;
  readonly basis: string;
  readonly steps: readonly AskReportStep[];
  /** Contradictions of all steps; 0 also when nobody looked. */
  readonly contradictions: number;
}

interface AskReportStep {
  readonly by: string;
  readonly op: string;
  readonly a: Readonly<Record<string, string | number>>;
  readonly words: string;
  readonly res: string | number;
  readonly flt?: number;
  readonly x?: string;
  readonly pinned: number;
  readonly unpinned: number;
  readonly why: string;
  readonly acted: readonly Acted[];
  readonly views: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly frames: Readonly<Record<string, FrameState>>;
  readonly accounts: Readonly<Record<string, ProcessAccounts>>;
  readonly contradictions: readonly string[];
}

export interface AskedKernel {
  readonly name: string;
  readonly basis: string;
}

export function askReport(script: Script, kernel: AskedKernel, steps: readonly AskedStep[]): AskReport {
  return {
    schemaVersion: 1,
    name: script.name,
    kernel: kernel.name,
    basis: kernel.basis,
    steps: steps.map((asked) => ({
      ...asked.step,
      words: words(asked),
      ...asked.outcome,
      pinned: asked.pinned,
      unpinned: asked.unpinned,
      why: asked.why,
      acted: asked.acted,
      views: Object.fromEntries([...asked.after.views].map(([name, views]) => [name, Object.fromEntries(views)])),
      frames: Object.fromEntries(asked.after.frames),
      accounts: Object.fromEntries(asked.after.accounts),
      contradictions: asked.contradictions,
    })),
    contradictions: steps.reduce((sum, { contradictions }) => sum + contradictions.length, 0),
  };
}

function words({ step, outcome }: AskedStep): string {
  return sentence({ ...step, ...outcome, s: { v: {}, f: {}, m: {} } });
}

// ---- the text ----------------------------------------------------------------------------------------------------------

/** Lines of one region, and frames, that a step shows; the others are counted. */
const LINES_MOST = 12;

export function renderAsk(
  kernel: AskedKernel,
  steps: readonly AskedStep[],
  style: ConformanceStyle = PLAIN_CONFORMANCE_STYLE,
): string {
  const lines = [style.quiet(`Linux ${kernel.name}, ${kernel.basis}; ▸ is what a step changed`)];
  for (const [k, asked] of steps.entries()) lines.push('', ...stepLines(k + 1, asked, style));
  return `${lines.join('\n')}\n`;
}

function stepLines(number: number, asked: AskedStep, style: ConformanceStyle): string[] {
  const { outcome, why, acted, contradictions, pinned, unpinned } = asked;
  const isRefused = typeof outcome.res === 'string' && outcome.res !== 'ok';
  const result = (isRefused ? style.bad : style.good)(outcomeText(outcome));
  const pins = [...(pinned > 0 ? [`${pinned} pinned`] : []), ...(unpinned > 0 ? [`${unpinned} unpinned`] : [])];
  const counted = pins.length === 0 ? '' : style.quiet(`  (pages: ${pins.join(', ')})`);
  const lines = [`${style.heading(`${String(number).padStart(3)}  ${words(asked)}`)}  →  ${result}${counted}`];
  if (why !== '') lines.push(`     refused by ${why}`);
  for (const each of told(acted, style)) lines.push(`     ${each}`);
  for (const each of afterlife(asked)) lines.push(`     ${each}`);
  const state = [...viewLines(asked, style), ...frameLines(asked, style), ...accountLines(asked, style)];
  if (state.some((line) => line.includes('▸'))) lines.push(...state);
  else lines.push(style.quiet('     nothing changed'));
  for (const each of contradictions) lines.push(style.bad(`     contradiction: ${each}`));
  return lines;
}

const ACTED_MOST = 10;

/** What happened where, and on a second line to which frames and by which rule. */
function told(acted: readonly Acted[], style: ConformanceStyle): readonly string[] {
  const lines = acted.slice(0, ACTED_MOST).flatMap(({ where, rule, sentence: what, frame, other }) => {
    const instead = other === '' || other === 'Z' ? '' : ` instead of ${other}`;
    const frames = frame === '' || frame === 'Z' ? '' : `${frame}${instead} · `;
    return [`${where === '' ? '' : `${where}: `}${what}`, style.quiet(`  ${frames}${rule}`)];
  });
  if (acted.length > ACTED_MOST) lines.push(`and ${acted.length - ACTED_MOST} more`);
  return lines;
}

/** Anonymous pages that lost their last mapping in this step and that a pin keeps alive (section 14). */
function afterlife({ before, after }: AskedStep): readonly string[] {
  const lines: string[] = [];
  for (const [name, state] of after.frames) {
    const known = before.frames.get(name);
    const pins = pinsOf(state);
    if (known === undefined || pins === 0 || mappingsOf(known) === 0 || mappingsOf(state) !== 0) continue;
    if (!state.f.includes('A')) continue;
    lines.push(
      `${name} is mapped nowhere any more and lives on, because it is pinned: device and process no longer see the same memory (section 14)`,
    );
  }
  return lines;
}

function mappingsOf({ mc, lm }: FrameState): number {
  return mc ?? lm ?? 0;
}

function pinsOf({ rc, pc }: FrameState): number {
  return pc ?? (rc ?? 0) >> 10;
}

function mark(isChanged: boolean, text: string, style: ConformanceStyle): string {
  return isChanged ? `   ${style.heading(`▸ ${text}`)}` : style.quiet(`     ${text}`);
}

// ---- page tables -------------------------------------------------------------------------------------------------------

const ENTRY_WORDS: Readonly<Record<string, string>> = {
  w: 'writable',
  d: 'dirty',
  n: 'no access',
  u: 'protected by userfaultfd',
  x: 'mapped once',
  H: 'huge',
};

const NO_FRAME: Readonly<Record<string, string>> = {
  '.': 'nothing',
  S: 'swapped out',
  G: 'guard',
  Z: 'zero page',
};

function viewLines({ before, after }: AskedStep, style: ConformanceStyle): string[] {
  const lines: string[] = [];
  for (const [process, regions] of after.views) {
    for (const [region, view] of regions) {
      const was = before.views.get(process)?.get(region);
      // A child that has never mapped a region shows nothing of it.
      if (was === undefined && /^\.(\*\d+)?$/.test(view) && region !== lastOf(regions)) continue;
      lines.push(...regionLines(`${process.padEnd(3)} ${region}`, view, was, style));
    }
  }
  return lines;
}

function lastOf(regions: ReadonlyMap<string, string>): string {
  return [...regions.keys()].at(-1) ?? '';
}

function regionLines(name: string, view: string, was: string | undefined, style: ConformanceStyle): string[] {
  const beforePages = was === undefined ? [] : pagesOf(was);
  const rows: { text: string; isChanged: boolean }[] = [];
  let at = 0;
  for (const entry of view.split(' ')) {
    const pages = pagesOf(entry);
    if (pages.length === 0) continue;
    const [first] = pages;
    const isChanged = pages.some((page, k) => {
      const known = beforePages.at(at + k);
      return at + k >= beforePages.length || known?.what !== page.what || known.flags !== page.flags;
    });
    const range = pages.length === 1 ? `[${at}]` : `[${at}..${at + pages.length - 1}]`;
    const what = NO_FRAME[first.what] ?? entry.split(':')[0];
    const bits = Array.from(first.flags, (flag) => ENTRY_WORDS[flag] ?? flag);
    const isWritable = first.flags.includes('w') || !/^[pZ]/.test(first.what);
    const words_ = [...bits.filter((bit) => bit !== 'mapped once'), ...(isWritable ? [] : ['read-only'])];
    rows.push({ text: `${name}${range} → ${[what, ...words_].join(', ')}`, isChanged });
    at += pages.length;
  }
  return limited(rows, style);
}

/** Changed rows first when there are too many; how many are left out is said. */
function limited(rows: readonly { text: string; isChanged: boolean }[], style: ConformanceStyle): string[] {
  let shown = rows;
  if (rows.length > LINES_MOST) {
    const changed = rows.filter(({ isChanged }) => isChanged).slice(0, LINES_MOST);
    shown = changed.length > 0 ? changed : rows.slice(0, LINES_MOST);
  }
  const lines = shown.map(({ text, isChanged }) => mark(isChanged, text, style));
  const hidden = rows.length - shown.length;
  if (hidden > 0) lines.push(style.quiet(`     … ${hidden} more lines`));
  return lines;
}

// ---- frames ------------------------------------------------------------------------------------------------------------

const FLAG_WORDS: readonly (readonly [string, string])[] = [
  ['D', 'dirty'],
  ['W', 'being written back'],
  ['C', 'in the swap cache'],
  ['M', 'mlocked'],
  ['V', 'kept from reclaim'],
  ['P', 'has buffers of the file system'],
];

function frameLines({ before, after }: AskedStep, style: ConformanceStyle): string[] {
  const rows: FrameRow[] = [];
  for (const [name, state] of after.frames) {
    const known = before.frames.get(name);
    const isChanged = known === undefined || JSON.stringify(known) !== JSON.stringify(state);
    rows.push({ first: name, last: name, text: stateWords(state, known), isChanged });
  }
  for (const name of before.frames.keys()) {
    if (!after.frames.has(name)) rows.push({ first: name, last: name, text: 'free again', isChanged: true });
  }
  const told = inRuns(rows).map(({ first, last, text, isChanged }) => {
    const name = first === last ? first : `${first}..${splitName(last).number}`;
    return { text: `${name.padEnd(4)} ${text}`, isChanged };
  });
  return limited(told, style);
}

interface FrameRow {
  readonly first: string;
  readonly last: string;
  readonly text: string;
  readonly isChanged: boolean;
}

/** Frames that follow each other and are in the same state are told together. */
function inRuns(rows: readonly FrameRow[]): readonly FrameRow[] {
  const runs: FrameRow[] = [];
  for (const row of rows) {
    const run = runs.at(-1);
    if (
      run === undefined ||
      run.text !== row.text ||
      run.isChanged !== row.isChanged ||
      !follows(run.last, row.first)
    ) {
      runs.push(row);
    } else runs[runs.length - 1] = { ...run, last: row.last };
  }
  return runs;
}

function follows(name: string, next: string): boolean {
  const [a, b] = [splitName(name), splitName(next)];
  return a.before === b.before && b.number === a.number + 1;
}

/** `byte 7, refcount 1 → 1025: 1 pin and 1 reference, mapped once, exclusive, anonymous`. */
function stateWords(state: FrameState, known: FrameState | undefined): string {
  const { f, c, rc, o } = state;
  const words_ = [changed('byte', c, known?.c)];
  if (rc !== undefined) {
    words_.push(`${changed('refcount', rc, known?.rc)}${referencesText(state)}`, mappedText(state, known));
  }
  const isPart = f.includes('T');
  if (f.includes('X')) words_.push('exclusive');
  else if (f.includes('A') && !isPart) words_.push(f.includes('K') ? 'merged by KSM' : 'not exclusive');
  const owner = f.includes('A') ? 'anonymous' : 'file';
  const huge = f.includes('G') ? ' hugetlb' : '';
  words_.push(isPart ? 'part of a huge folio' : `${owner}${huge}${o === undefined ? '' : ` folio of ${2 ** o} pages`}`);
  for (const [letter, word] of FLAG_WORDS) if (f.includes(letter)) words_.push(word);
  return words_.join(', ');
}

function changed(what: string, now: number, was: number | undefined): string {
  return was === undefined || was === now ? `${what} ${now}` : `${what} ${was} → ${now}`;
}

/** A pin of a small page counts 1024, of a large folio one; how the kernel itself reads the count. */
function referencesText(state: FrameState): string {
  const pins = pinsOf(state);
  if (pins === 0) return '';
  const rc = state.rc ?? 0;
  const others = state.pc === undefined ? rc & 1023 : rc - pins;
  return ` (${plural(pins, 'pin')} and ${plural(others, 'reference')})`;
}

function mappedText(state: FrameState, known: FrameState | undefined): string {
  const now = mappingsOf(state);
  const was = known === undefined ? now : mappingsOf(known);
  const huge = state.em !== undefined && state.em > 0 ? `, ${state.em} of them huge` : '';
  const text =
    now === 0
      ? 'mapped nowhere'
      : now === 1
        ? `mapped once${huge === '' ? '' : ', huge'}`
        : `mapped by ${now} entries${huge}`;
  return was === now ? text : `${text} (was ${was})`;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

// ---- accounts ----------------------------------------------------------------------------------------------------------

function accountLines({ before, after }: AskedStep, style: ConformanceStyle): string[] {
  const lines: string[] = [];
  for (const [process, accounts] of after.accounts) {
    const known = before.accounts.get(process);
    const isChanged = JSON.stringify(known) !== JSON.stringify(accounts);
    const isEmpty = accounts.pin === 0 && accounts.lck === 0 && accounts.hp === 0 && accounts.ul === undefined;
    if (!isChanged || (known === undefined && isEmpty)) continue;
    const { pin, lck, hp, ul } = accounts;
    const words_ = [`pinned_vm ${plural(pin, 'page')}`, `locked_vm ${plural(lck, 'page')}`];
    if (hp === 1) words_.push('has pinned (MMF_HAS_PINNED)');
    if (ul !== undefined) words_.push(`user is charged for ${plural(ul, 'page')}`);
    lines.push(mark(true, `${process.padEnd(3)} accounts: ${words_.join(', ')}`, style));
  }
  return lines;
}

// ---- recording ---------------------------------------------------------------------------------------------------------

/** What `ask --record` tells beside the script. */
export const HOW_TO_RECORD = `The lines above are a script for the recorder that made test/golden/linux-6.18: \`scenario NAME TOPIC\`, an operation a
line, \`end\`. The recorder is a program of its own and not part of this package: it runs as root on the Linux to be asked,
does each operation with real system calls (the device is an io_uring), and prints a line of JSON after the last. What it
prints is a recording:

    RECORDER < script.txt > answer.jsonl
    pincushion conformance answer.jsonl
`;
