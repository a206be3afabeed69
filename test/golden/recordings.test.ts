/** The recordings of real kernels. A scenario that stops to agree is told as the command tells it. */
import { REPLAY_MS, disagreements, recordings } from './replay';

describe('memory management agrees in all tiers with', () => {
  it(
    '1,323 scenarios of Linux 6.18',
    () => {
      expect(disagreements(recordings('linux-6.18', /\.jsonl(\.gz)?$/), 1323)).toBe('');
    },
    REPLAY_MS,
  );

  it(
    'the pin cases of Linux 6.1',
    () => {
      expect(disagreements(recordings('linux-6.1', /^pin-cases\.json$/), 18)).toBe('');
    },
    REPLAY_MS,
  );
});
