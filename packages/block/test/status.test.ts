import { BlkStatus, blkStatusToErrno } from '@pincushion/block';
import { errnoName } from '@pincushion/sim';

describe('a block status', () => {
  it.each([
    ['notSupp', 'EOPNOTSUPP'],
    ['timeout', 'ETIMEDOUT'],
    ['nospc', 'ENOSPC'],
    ['transport', 'ENOLINK'],
    ['target', 'EREMOTEIO'],
    ['resvConflict', 'EBADE'],
    ['medium', 'ENODATA'],
    ['protection', 'EILSEQ'],
    ['resource', 'ENOMEM'],
    ['devResource', 'EBUSY'],
    ['again', 'EAGAIN'],
    ['offline', 'ENODEV'],
    ['zoneActiveResource', 'EOVERFLOW'],
    ['durationLimit', 'ETIME'],
    ['inval', 'EINVAL'],
    ['ioerr', 'EIO'],
  ] as const)('%s is -%s for a program', (status, name) => {
    const errno = blkStatusToErrno(BlkStatus[status]);
    expect(errno).toBeLessThan(0);
    expect(errnoName(errno)).toBe(name);
  });

  it('is 0 when all went well, and -EIO when nobody knows it', () => {
    expect(blkStatusToErrno(BlkStatus.ok)).toBe(0);
    expect(errnoName(blkStatusToErrno(200))).toBe('EIO');
    expect(blkStatusToErrno(BlkStatus.zoneOpenResource)).toBe(-109);
    expect(blkStatusToErrno(BlkStatus.dmRequeue)).toBe(-78);
  });
});
