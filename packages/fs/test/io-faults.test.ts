import { ENODATA, ETIMEDOUT } from '@pincushion/sim';
import { WORKLOADS } from './file-workload';
import { FILE_BYTES, TRANSFERS, directTransfers } from './direct-faults';
import { ERRORS, disturb, disturbEach, undisturbed } from './io-faults';

/** A sample; `io-faults-*.long.ts` try every request. */
describe.each(WORKLOADS)('workload $seed, a request of which fails', (options) => {
  const usual = undisturbed(options);

  it('tells who asked for it once, leaks nothing, and leaves a disk that can be mounted again', () => {
    const requests = usual.requests.length;
    // Neighbouring pages are one request, so that there are fewer of these than writes.
    expect(requests).toBeGreaterThan(700);
    const wrong = [0, 1, 2].map((i) => disturb(options, usual, Math.floor(((i + 0.5) * requests) / 5), ERRORS[i]));
    expect(wrong.filter((text) => text !== '')).toEqual([]);
  });

  it('goes on as ever when each request is transferred in two parts', () => {
    disturbEach(options, usual, 'part');
  });
});

describe('direct I/O of a file, one request of which goes wrong', () => {
  const { requests } = directTransfers('none', -1);

  it.each([
    ['error', -ENODATA],
    ['lost', -ETIMEDOUT],
    ['part, then error', -ENODATA],
    ['part', 0],
    ['lost, tried again', 0],
  ] as const)('%s: who asked for it is told, with its errno, and nobody else', (fault, errno) => {
    expect(requests).toBeGreaterThan(10);
    for (let at = 0; at < requests; at++) {
      const { struck, ended, size } = directTransfers(fault, at);
      const inOrder = [...ended].sort(([a], [b]) => a - b).map(([, result]) => result);
      const wanted = TRANSFERS.map(([, bytes], token) => (token === struck && errno !== 0 ? errno : bytes));
      expect([at, ...inOrder]).toEqual([at, ...wanted]);
      expect(size).toBe(wanted[7] < 0 ? FILE_BYTES : FILE_BYTES + 12_288);
    }
  });
});
