/**
 * Views: the pages of a region as one process maps them, written as text.
 *
 * `.` nothing mapped, `S` swapped out, `G` guard, `Z` the shared zero page, `p3` a frame, `p0.5` part 5 of a large folio;
 * `.*4` and `p0.0..511` stand for many; flags of the entry follow a colon. Two texts that mean the same pages may be cut
 * into runs differently, so views are compared page by page.
 */

/** One page of a view. */
export interface PageView {
  /** What is mapped, without flags: `.`, `S`, `G`, `Z`, or the name of a frame or part. */
  readonly what: string;
  readonly flags: string;
}

/** Largest part number or repetition; what a region of 1 GiB can have. */
const MOST_PAGES = 1 << 18;

/** A thing that may be repeated, its flags and how often: `Z:n*2`. */
const REPEATED = /^(\.|S|G|Z)((?::[a-zA-Z]+)?)((?:\*\d+)?)$/;
/** A frame or part, perhaps a range of them, and its flags: `p0.3..9:wd`. */
const FRAMES = /^(p(?:\d+\.)?)(\d+)((?:\.\.\d+)?)((?::[a-zA-Z]+)?)$/;

/** The pages of a view from the first on. A view that was cut off (` ...`) has fewer than its region. */
export function pagesOf(view: string): readonly PageView[] {
  const pages: PageView[] = [];
  for (const entry of view.split(' ')) {
    const repeated = REPEATED.exec(entry);
    if (repeated !== null) {
      const [, what, flags, times] = repeated;
      const page: PageView = { what, flags: flags.slice(1) };
      const count = times === '' ? 1 : Math.min(Number(times.slice(1)), MOST_PAGES);
      for (let k = 0; k < count; k++) pages.push(page);
      continue;
    }
    const frames = FRAMES.exec(entry);
    if (frames === null) continue;
    const [, before, from, to, flags] = frames;
    const first = Number(from);
    const last = to === '' ? first : Math.min(Number(to.slice(2)), first + MOST_PAGES);
    for (let k = first; k <= last; k++) pages.push({ what: `${before}${k}`, flags: flags.slice(1) });
  }
  return pages;
}

/** The frames a key such as `p1..511` or `p0.3..10` stands for. */
export function framesOfKey(key: string): readonly string[] {
  const range = /^(.*?)(\d+)\.\.(\d+)$/.exec(key);
  if (range === null) return [key];
  const names: string[] = [];
  for (let k = Number(range[2]); k <= Math.min(Number(range[3]), Number(range[2]) + MOST_PAGES); k++) {
    names.push(`${range[1]}${k}`);
  }
  return names;
}

/** A frame name as its beginning and its number: `p12` is `p`, 12; `p3.7` is `p3.`, 7. */
export function splitName(name: string): { readonly before: string; readonly number: number } {
  const at = /\d+$/.exec(name)?.index ?? name.length;
  return { before: name.slice(0, at), number: Number(name.slice(at)) };
}
