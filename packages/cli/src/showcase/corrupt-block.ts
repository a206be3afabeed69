/** How the acts about writeback show a block beside what it should be, and the moments that led there. */
import type { Terminal } from '../terminal';

/** A line of a timeline. */
export interface Moment {
  readonly atNs: number;
  readonly what: string;
  /** What matters about it. */
  readonly isTurn: boolean;
}

const PART_BYTES = 512;
/** Bytes of a part that are shown. */
const SHOWN_BYTES = 24;

/** Expected and found side by side, a line for each part of the block. */
export function showBlocks(expected: Uint8Array, found: Uint8Array, stage: Terminal): void {
  const { dim, red, green } = stage.colours;
  stage.out(dim(`  part  ${'expected'.padEnd(SHOWN_BYTES + 2)}  found\n`));
  for (let at = 0, part = 1; at < expected.length; at += PART_BYTES, part++) {
    const [a, b] = [expected, found].map((block) => block.subarray(at, at + PART_BYTES));
    const isSame = a.every((byte, i) => byte === b[i]);
    stage.out(
      `  ${String(part).padStart(4)}  ${words(a)}…   ${(isSame ? String : red)(`${words(b)}…`)} ${isSame ? green('✓') : red('✗')}\n`,
    );
  }
}

export function showTimeline(timeline: readonly Moment[], stage: Terminal): void {
  const { bold, dim, red, yellow } = stage.colours;
  const [first] = timeline;
  for (const { atNs, what, isTurn } of timeline) {
    const time = dim(`${(atNs - first.atNs).toLocaleString('en')} ns`.padStart(12));
    stage.out(`  ${time}  ${isTurn ? red('●') : yellow('○')} ${isTurn ? bold(what) : what}\n`);
  }
}

/** The first bytes as text; what is none is a dot. */
function words(bytes: Uint8Array): string {
  return [...bytes.subarray(0, SHOWN_BYTES)]
    .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'))
    .join('');
}
