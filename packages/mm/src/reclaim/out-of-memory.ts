/**
 * The report of a memory that is out: what the frames are used for, and who keeps reclaim from taking them.
 *
 * Source followed: mm/oom_kill.c `dump_header`, mm/show_mem.c (6.18).
 */
import type { Memory } from '../memory';
import { PAGE_SIZE } from '../frames/page-size';

const OLDEST_PINS = 5;

/** Reports OUT_OF_MEMORY; `what` is who asked. */
export function reportOutOfMemory(memory: Memory, what: string): void {
  const { world, name } = memory;
  world.findings.report({
    code: 'OUT_OF_MEMORY',
    summary: `${name} has no page left for ${what}, and nothing more can be reclaimed`,
    sites: [],
    details: [...zoneLines(memory), swapLine(memory), ...userLines(memory), ...pinLines(memory)],
  });
}

function zoneLines({ zones }: Memory): string[] {
  return zones.flatMap(({ name, start, end, buddy, watermarks }) =>
    buddy === null
      ? []
      : [
          `zone ${name}: ${buddy.framesFree} of ${end - start} pages free, min ${watermarks.min}, low ${watermarks.low}`,
        ],
  );
}

function swapLine({ swap }: Memory): string {
  return swap.slots === 0 ? 'no swap' : `swap: ${swap.slotsFree} of ${swap.slots} pages free`;
}

function userLines({ mms, writeback }: Memory): string[] {
  const lines: string[] = [];
  for (const mm of mms) if (mm.lockedVm > 0) lines.push(`${mm.name} has ${mm.lockedVm} pages mlocked`);
  if (writeback.dirtyPages > 0) lines.push(`${writeback.dirtyPages} pages of files wait to be written`);
  return lines;
}

/** Who pins, the longest first: call by call with the full ledger, else how many pages in all. */
function pinLines({ ledger }: Memory): string[] {
  const { pinnedNow } = ledger.counters;
  if (pinnedNow === 0) return ['nothing is pinned'];
  const mib = Math.round((pinnedNow * PAGE_SIZE) / (1 << 20));
  const total = `${pinnedNow} pages (${mib} MiB) are pinned`;
  const oldest = ledger.oldestPins(OLDEST_PINS);
  if (oldest.length === 0) return [`${total}; a machine with 'ledger: full' names who pinned them`];
  return [
    total,
    ...oldest.map(({ pages, owner, process, site }) => {
      const whose = process === null ? '' : ` of ${process}`;
      return `  ${pages} pages${whose} by ${owner} at ${site}`;
    }),
  ];
}
