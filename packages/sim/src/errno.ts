/**
 * Error numbers of Linux, as positive constants; services return them negated.
 *
 * Source: include/uapi/asm-generic/errno-base.h, errno.h and include/linux/errno.h (the kernel-internal ones above 511).
 */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENOTTY = 25;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const EBADE = 52;
export const ENODATA = 61;
export const ETIME = 62;
export const ENOLINK = 67;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EILSEQ = 84;
export const EOPNOTSUPP = 95;
export const ETIMEDOUT = 110;
export const EALREADY = 114;
export const EINPROGRESS = 115;
export const EUCLEAN = 117;
export const EREMOTEIO = 121;
export const ECANCELED = 125;
export const EHWPOISON = 133;
export const ERESTARTSYS = 512;
export const EPROBE_DEFER = 517;
export const EIOCBQUEUED = 529;

const NAMES: Readonly<Record<number, string>> = Object.freeze({
  [EPERM]: 'EPERM',
  [ENOENT]: 'ENOENT',
  [EINTR]: 'EINTR',
  [EIO]: 'EIO',
  [ENXIO]: 'ENXIO',
  [E2BIG]: 'E2BIG',
  [EBADF]: 'EBADF',
  [EAGAIN]: 'EAGAIN',
  [ENOMEM]: 'ENOMEM',
  [EACCES]: 'EACCES',
  [EFAULT]: 'EFAULT',
  [EBUSY]: 'EBUSY',
  [EEXIST]: 'EEXIST',
  [EXDEV]: 'EXDEV',
  [ENODEV]: 'ENODEV',
  [ENOTDIR]: 'ENOTDIR',
  [EISDIR]: 'EISDIR',
  [EINVAL]: 'EINVAL',
  [EMFILE]: 'EMFILE',
  [ENOTTY]: 'ENOTTY',
  [EFBIG]: 'EFBIG',
  [ENOSPC]: 'ENOSPC',
  [EROFS]: 'EROFS',
  [EMLINK]: 'EMLINK',
  [EPIPE]: 'EPIPE',
  [ERANGE]: 'ERANGE',
  [EDEADLK]: 'EDEADLK',
  [ENAMETOOLONG]: 'ENAMETOOLONG',
  [ENOSYS]: 'ENOSYS',
  [ENOTEMPTY]: 'ENOTEMPTY',
  [EBADE]: 'EBADE',
  [ENODATA]: 'ENODATA',
  [ETIME]: 'ETIME',
  [ENOLINK]: 'ENOLINK',
  [EPROTO]: 'EPROTO',
  [EOVERFLOW]: 'EOVERFLOW',
  [EILSEQ]: 'EILSEQ',
  [EOPNOTSUPP]: 'EOPNOTSUPP',
  [ETIMEDOUT]: 'ETIMEDOUT',
  [EALREADY]: 'EALREADY',
  [EINPROGRESS]: 'EINPROGRESS',
  [EUCLEAN]: 'EUCLEAN',
  [EREMOTEIO]: 'EREMOTEIO',
  [ECANCELED]: 'ECANCELED',
  [EHWPOISON]: 'EHWPOISON',
  [ERESTARTSYS]: 'ERESTARTSYS',
  [EPROBE_DEFER]: 'EPROBE_DEFER',
  [EIOCBQUEUED]: 'EIOCBQUEUED',
});

/** The name of an error number of either sign: `'EFAULT'` for -14 and 14; `'errno 999'` for one that is not known. */
export function errnoName(errno: number): string {
  const positive = errno < 0 ? -errno : errno;
  return NAMES[positive] ?? `errno ${positive}`;
}

/** The error number of a name, positive: 14 for `'EFAULT'`; 0 for what is no name. */
export function errnoOf(name: string): number {
  const [found] = Object.entries(NAMES).filter(([, known]) => known === name);
  return (found as readonly [string, string] | undefined) === undefined ? 0 : Number(found[0]);
}
