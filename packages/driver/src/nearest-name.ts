/** The known name a misspelt one was probably meant to be. */
import { distance } from 'fastest-levenshtein';

/** The nearest of `names`; null when none is near enough to be meant (more than a third of the letters differ, at least 2). */
export function nearestName(wrong: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(wrong.length / 3)) + 1;
  for (const name of names) {
    const d = distance(wrong.toLowerCase(), name.toLowerCase());
    if (d < bestDistance) {
      best = name;
      bestDistance = d;
    }
  }
  return best;
}
