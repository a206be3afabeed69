/** The kernel's own self-tests, every row; the tests of the package run a sample of them. */
import { REPLAY_MS, disagreements, recordings } from './replay';

it(
  'every row of the kernel self-tests holds, also those that the recording machine had to skip',
  () => {
    expect(disagreements(recordings('linux-6.18', /^selftests-.*\.json$/), 828)).toBe('');
  },
  REPLAY_MS,
);
