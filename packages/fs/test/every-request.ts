import type { WorkloadOptions } from './file-workload';
import { ERRORS, disturb, disturbEach, undisturbed } from './io-faults';

/** All that a bad request can do to a workload, for each of its requests; half a minute or so of the host's time. */
export function describeEveryRequest(options: WorkloadOptions): void {
  describe(`workload ${options.seed}, each request of which fails in turn`, () => {
    const usual = undisturbed(options);

    it.each(ERRORS)('%s: tells who asked for it once, leaks nothing, and loses nothing but what it told', (fault) => {
      expect(usual.requests.length).toBeGreaterThan(500);
      const wrong = usual.requests.map((_, at) => disturb(options, usual, at, fault));
      expect(wrong.filter((text) => text !== '')).toEqual([]);
    });

    it('goes on as ever when each request has to be sent a second time after its timeout', () => {
      disturbEach(options, usual, 'lost, tried again');
    });
  });
}
