import { WORKLOADS } from './file-workload';
import { ERRORS, disturb, disturbEach, undisturbed } from './io-faults';

/** Every which request of a workload fails. */
const STEP = 41;

describe.each(WORKLOADS)('workload $seed, a request of which fails', (options) => {
  const usual = undisturbed(options);

  it.each(ERRORS)(
    '%s: tells who asked for it once, leaks nothing, and leaves a disk that can be mounted again',
    (fault) => {
      const wrong: string[] = [];
      for (let at = 0; at < usual.operationOf.length; at += STEP) wrong.push(disturb(options, usual, at, fault));
      expect(wrong.filter((text) => text !== '')).toEqual([]);
    },
  );

  it('goes on as ever when each request has to be sent a second time after its timeout', () => {
    disturbEach(options, usual, 'lost, tried again');
  });
});
