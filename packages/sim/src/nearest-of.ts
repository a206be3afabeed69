/** The known word a misspelt one was probably meant to be. Levenshtein's distance, for lists of a dozen words. */

/** The nearest of `words`; null when none is near enough to be meant: at most 2 letters differ, or a third of them. */
export function nearestOf(wrong: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(wrong.length / 3)) + 1;
  for (const word of words) {
    const d = distance(wrong, word);
    if (d >= bestDistance) continue;
    best = word;
    bestDistance = d;
  }
  return best;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1])));
    }
    row = next;
  }
  return row[b.length];
}
