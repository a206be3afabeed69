/**
 * How a bio ended: the block layer's status codes with the kernel's numbers, and the errno each becomes for a program.
 * `resource` and `devResource` mean "retry later" inside the block layer; they are failures only for whoever sees them here.
 *
 * Source: Linux 6.18 include/linux/blk_types.h (BLK_STS_*), block/blk-core.c (blk_errors, blk_status_to_errno).
 */
import {
  EAGAIN,
  EBADE,
  EBUSY,
  EILSEQ,
  EINVAL,
  EIO,
  ENODATA,
  ENODEV,
  ENOLINK,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EREMOTEIO,
  ETIME,
  ETIMEDOUT,
} from '@pincushion/sim';

/** Nothing else in the product returns these. */
const EREMCHG = 78;
const ETOOMANYREFS = 109;

export const BlkStatus = {
  ok: 0,
  notSupp: 1,
  timeout: 2,
  nospc: 3,
  transport: 4,
  target: 5,
  resvConflict: 6,
  medium: 7,
  protection: 8,
  resource: 9,
  ioerr: 10,
  dmRequeue: 11,
  again: 12,
  devResource: 13,
  zoneOpenResource: 14,
  zoneActiveResource: 15,
  offline: 16,
  durationLimit: 17,
  inval: 19,
} as const;
export type BlkStatus = (typeof BlkStatus)[keyof typeof BlkStatus];

/** blk_status_to_errno: 0 or a negative errno; a status nobody defined is -EIO, as `ioerr` is. */
export function blkStatusToErrno(status: number): number {
  switch (status) {
    case BlkStatus.ok:
      return 0;
    case BlkStatus.notSupp:
      return -EOPNOTSUPP;
    case BlkStatus.timeout:
      return -ETIMEDOUT;
    case BlkStatus.nospc:
      return -ENOSPC;
    case BlkStatus.transport:
      return -ENOLINK;
    case BlkStatus.target:
      return -EREMOTEIO;
    case BlkStatus.resvConflict:
      return -EBADE;
    case BlkStatus.medium:
      return -ENODATA;
    case BlkStatus.protection:
      return -EILSEQ;
    case BlkStatus.resource:
      return -ENOMEM;
    case BlkStatus.dmRequeue:
      return -EREMCHG;
    case BlkStatus.again:
      return -EAGAIN;
    case BlkStatus.devResource:
      return -EBUSY;
    case BlkStatus.zoneOpenResource:
      return -ETOOMANYREFS;
    case BlkStatus.zoneActiveResource:
      return -EOVERFLOW;
    case BlkStatus.offline:
      return -ENODEV;
    case BlkStatus.durationLimit:
      return -ETIME;
    case BlkStatus.inval:
      return -EINVAL;
    default:
      return -EIO;
  }
}
