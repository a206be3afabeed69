/**
 * fio job files: what each job does, checked against the disk it will run on.
 *
 * Options follow fio's HOWTO (version 3). Supported are those of `OPTIONS` below; some more are understood and change
 * nothing here (`NOTED`), because every run is direct, checks its content and reports in one form. All others are
 * collected in one warning, or refused when `strict`.
 *
 * Parsing and fitting are two steps: the file is read before the machine exists (`parseFioJob`), sizes in per cent need
 * the disk (`fitFioJob`).
 */
import { closest, distance } from 'fastest-levenshtein';
import { UsageError } from '@pincushion/sim';
import type { IniOption, IniSection } from './fio-ini';
import { parseIni } from './fio-ini';
import type { FioSize } from './fio-value';
import { FioValue } from './fio-value';

const MODES = ['read', 'write', 'trim', 'randread', 'randwrite', 'randtrim', 'rw', 'readwrite', 'randrw'] as const;
type FioMode = (typeof MODES)[number];

const MAX_IO_BYTES = 64 * 2 ** 20;
const SECTOR = 512;

/** Understood, and without effect on an emulated disk. */
const NOTED: readonly string[] = Object.freeze([
  'clat_percentiles',
  'cpus_allowed',
  'description',
  'disable_clat',
  'disable_lat',
  'disable_slat',
  'do_verify',
  'end_fsync',
  'fallocate',
  'group_reporting',
  'gtod_reduce',
  'invalidate',
  'ioengine',
  'lat_percentiles',
  'log_avg_msec',
  'name',
  'new_group',
  'percentile_list',
  'randrepeat',
  'refill_buffers',
  'thread',
  'verify',
  'verify_fatal',
  'verify_pattern',
]);

/** How random offsets are chosen. */
type FioDistribution = { readonly kind: 'random' } | { readonly kind: 'zipf'; readonly theta: number };

/** A job as written: sizes may still be shares of a disk that is not known yet. */
interface WrittenJob {
  name: string;
  line: number;
  filename: string | null;
  mode: FioMode;
  modeLine: number;
  readPercent: number;
  readBytes: number;
  writeBytes: number;
  trimBytes: number;
  blockLine: number;
  size: FioSize | null;
  sizeLine: number;
  offset: FioSize;
  offsetLine: number;
  offsetIncrement: FioSize;
  ioSize: FioSize | null;
  numberIos: number;
  ioDepth: number;
  numJobs: number;
  fsync: number;
  direct: boolean;
  runtimeNs: number;
  timeBased: boolean;
  rateIopsRead: number;
  rateIopsWrite: number;
  thinkNs: number;
  thinkBlocks: number;
  startDelayNs: number;
  stonewall: boolean;
  distribution: FioDistribution;
  randomMap: boolean;
  seed: number | null;
}

/** A parsed job file. */
export interface FioJobFile {
  readonly kind: 'fio';
  readonly source: string;
  readonly jobs: readonly Readonly<WrittenJob>[];
  /** One warning naming all options without effect, or null. */
  readonly warning: string | null;
}

/** One job on one disk, every figure in bytes of the disk; `numjobs` clones are jobs of their own. */
export interface FioJob {
  readonly name: string;
  /** Disk it runs on. */
  readonly disk: string;
  /** As the job names its file or disk; null when it does not. */
  readonly filename: string | null;
  /** Number of the job within the file, clones counted; names its random stream. */
  readonly index: number;
  readonly sequential: boolean;
  readonly trim: boolean;
  /** Of 100 I/Os so many read; 100 and 0 for one-way modes. */
  readonly readPercent: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** First byte of the region and its length. */
  readonly offset: number;
  readonly size: number;
  /** The job ends after so many bytes or I/Os, whichever comes first; Infinity when time ends it. */
  readonly totalBytes: number;
  readonly totalIos: number;
  readonly ioDepth: number;
  /** A flush after so many writes; 0: none. */
  readonly fsync: number;
  /** Past the page cache, where it runs through a file system. */
  readonly direct: boolean;
  /** Virtual time at which no more I/O is issued; Infinity: none. */
  readonly runtimeNs: number;
  readonly rateIopsRead: number;
  readonly rateIopsWrite: number;
  readonly thinkNs: number;
  readonly thinkBlocks: number;
  readonly startDelayNs: number;
  /** Waits for all jobs before it in the file. */
  readonly stonewall: boolean;
  readonly distribution: FioDistribution;
  /** Each block once before any comes twice, as fio does unless told `norandommap`. */
  readonly randomMap: boolean;
  /** Set by `randseed`: the offsets then do not depend on the seed of the run. */
  readonly seed: number | null;
}

export interface FioParseOptions {
  /** Refuse options without effect instead of warning. */
  readonly strict?: boolean;
}

type Apply = (job: WrittenJob, value: FioValue) => void;

const OPTIONS: Readonly<Record<string, Apply>> = Object.freeze({
  rw: applyMode,
  readwrite: applyMode,
  bs: applyBlockSize,
  blocksize: applyBlockSize,
  filename: (job, value) => {
    job.filename = value.text === '' ? value.fail('the name of a disk') : value.text;
  },
  rwmixread: (job, value) => {
    job.readPercent = value.count(0, 100);
  },
  rwmixwrite: (job, value) => {
    job.readPercent = 100 - value.count(0, 100);
  },
  size: (job, value) => {
    job.size = value.size();
    job.sizeLine = value.option.line;
  },
  offset: (job, value) => {
    job.offset = value.size();
    job.offsetLine = value.option.line;
  },
  offset_increment: (job, value) => {
    job.offsetIncrement = value.size();
    job.offsetLine = value.option.line;
  },
  io_size: (job, value) => {
    job.ioSize = value.size();
  },
  io_limit: (job, value) => {
    job.ioSize = value.size();
  },
  number_ios: (job, value) => {
    job.numberIos = value.count(1, Number.MAX_SAFE_INTEGER);
  },
  iodepth: (job, value) => {
    job.ioDepth = value.count(1, 65536);
  },
  numjobs: (job, value) => {
    job.numJobs = value.count(1, 1024);
  },
  fsync: (job, value) => {
    job.fsync = value.count(0, Number.MAX_SAFE_INTEGER);
  },
  fdatasync: (job, value) => {
    job.fsync = value.count(0, Number.MAX_SAFE_INTEGER);
  },
  direct: (job, value) => {
    job.direct = value.flag();
  },
  runtime: (job, value) => {
    job.runtimeNs = value.duration('s');
  },
  time_based: (job, value) => {
    job.timeBased = value.flag();
  },
  rate_iops: applyRate,
  thinktime: (job, value) => {
    job.thinkNs = value.duration('us');
  },
  thinktime_blocks: (job, value) => {
    job.thinkBlocks = value.count(1, Number.MAX_SAFE_INTEGER);
  },
  startdelay: (job, value) => {
    job.startDelayNs = value.duration('s');
  },
  stonewall: (job, value) => {
    job.stonewall = value.flag();
  },
  wait_for_previous: (job, value) => {
    job.stonewall = value.flag();
  },
  random_distribution: applyDistribution,
  norandommap: (job, value) => {
    job.randomMap = !value.flag();
  },
  randseed: (job, value) => {
    job.seed = value.count(0, Number.MAX_SAFE_INTEGER);
  },
});

/**
 * Reads a job file. Throws `UsageError` JOB_INVALID with `source:line` for values that cannot be used, for a file without
 * jobs, and with `strict` for options that have no effect here.
 */
export function parseFioJob(text: string, source: string, options: FioParseOptions = {}): FioJobFile {
  const unsupported: IniOption[] = [];
  const jobs: WrittenJob[] = [];
  let globals: IniOption[] = [];
  for (const section of parseIni(text, source)) {
    if (section.name.toLowerCase() === 'global') {
      globals = [...globals, ...section.options];
      note(section.options, unsupported);
    } else {
      note(section.options, unsupported);
      jobs.push(writtenJob(section, globals, source));
    }
  }
  if (jobs.length === 0) {
    throw new UsageError('JOB_INVALID', `${source}: the file has no job`, {
      expected: 'at least one section besides [global], such as [my-job]',
    });
  }
  return { kind: 'fio', source, jobs, warning: warningFor(unsupported, source, options.strict === true) };
}

/** What a job must know of its disk. */
export interface FioDisk {
  readonly name: string;
  readonly capacitySectors: number;
  readonly logicalBlockBytes: number;
}

/**
 * The jobs of a file on their disks, clones written out. `diskFor` answers with the disk for a `filename`, or for none.
 * Throws `UsageError` JOB_INVALID, naming the line, when a size is larger than the disk or a block size does not fit its
 * blocks.
 */
export function fitFioJob(file: FioJobFile, diskFor: (filename: string | null) => FioDisk): FioJob[] {
  const fitted: FioJob[] = [];
  for (const job of file.jobs) {
    const disk = diskFor(job.filename);
    for (let clone = 0; clone < job.numJobs; clone++) fitted.push(fitOne(file, job, clone, fitted.length, disk));
  }
  return fitted;
}

function fitOne(file: FioJobFile, job: Readonly<WrittenJob>, clone: number, index: number, disk: FioDisk): FioJob {
  const capacity = disk.capacitySectors * SECTOR;
  const trim = job.mode === 'trim' || job.mode === 'randtrim';
  const readBytes = job.readBytes;
  const writeBytes = trim ? job.trimBytes : job.writeBytes;
  const block = disk.logicalBlockBytes;
  const readPercent = readShare(job);
  for (const bytes of readPercent === 100 ? [readBytes] : readPercent === 0 ? [writeBytes] : [readBytes, writeBytes]) {
    if (bytes % block !== 0) {
      throw new UsageError('JOB_INVALID', `${file.source}:${job.blockLine}: bs does not fit the disk`, {
        expected: `a multiple of ${block}, the logical block of ${disk.name}`,
        actual: `${bytes}`,
      });
    }
  }
  const largest = Math.max(readPercent > 0 ? readBytes : 0, readPercent < 100 ? writeBytes : 0);
  const resolve = (size: FioSize): number => {
    const bytes = size.bytes ?? Math.floor((capacity / 100) * (size.percent ?? 0));
    return bytes - (bytes % block);
  };
  const offset = resolve(job.offset) + clone * resolve(job.offsetIncrement);
  if (offset >= capacity) {
    throw new UsageError('JOB_INVALID', `${file.source}:${job.offsetLine}: offset is beyond the end of the disk`, {
      expected: `less than ${capacity} bytes, the size of ${disk.name}`,
      actual: `${offset}`,
    });
  }
  const size = job.size === null ? capacity - offset : resolve(job.size);
  if (size > capacity || offset + size > capacity) {
    const what = offset === 0 ? 'size' : 'offset and size';
    throw new UsageError('JOB_INVALID', `${file.source}:${job.sizeLine}: ${what} of job ${job.name} exceed the disk`, {
      expected: `at most ${capacity} bytes, the size of ${disk.name}`,
      actual: offset === 0 ? `${size}` : `${offset} + ${size}`,
      hint: 'a smaller size, a percentage such as size=50%, or a machine with a larger device',
    });
  }
  if (size < largest) {
    throw new UsageError('JOB_INVALID', `${file.source}:${job.sizeLine}: size of job ${job.name} holds no block`, {
      expected: `at least bs, ${largest} bytes`,
      actual: `${size}`,
    });
  }
  const endless = job.timeBased && job.runtimeNs > 0;
  return {
    name: job.numJobs === 1 ? job.name : `${job.name}.${clone}`,
    disk: disk.name,
    filename: job.filename,
    index,
    sequential: !job.mode.startsWith('rand'),
    trim,
    readPercent,
    readBytes,
    writeBytes,
    offset,
    size,
    totalBytes: endless ? Infinity : job.ioSize === null ? size : resolve(job.ioSize),
    totalIos: job.numberIos === 0 ? Infinity : job.numberIos,
    ioDepth: job.ioDepth,
    fsync: job.fsync,
    direct: job.direct,
    runtimeNs: job.runtimeNs === 0 ? Infinity : job.runtimeNs,
    rateIopsRead: job.rateIopsRead,
    rateIopsWrite: job.rateIopsWrite,
    thinkNs: job.thinkNs,
    thinkBlocks: job.thinkBlocks,
    startDelayNs: job.startDelayNs,
    stonewall: job.stonewall && clone === 0,
    distribution: job.distribution,
    randomMap: job.randomMap,
    seed: job.seed === null ? null : (job.seed + clone) % 4294967296,
  };
}

function readShare(job: Readonly<WrittenJob>): number {
  if (job.mode === 'read' || job.mode === 'randread') return 100;
  if (job.mode === 'rw' || job.mode === 'readwrite' || job.mode === 'randrw') return job.readPercent;
  return 0;
}

function writtenJob(section: IniSection, globals: readonly IniOption[], source: string): WrittenJob {
  const job: WrittenJob = {
    name: section.name,
    line: section.line,
    filename: null,
    mode: 'read',
    modeLine: section.line,
    readPercent: 50,
    readBytes: 4096,
    writeBytes: 4096,
    trimBytes: 4096,
    blockLine: section.line,
    size: null,
    sizeLine: section.line,
    offset: { bytes: 0, percent: null },
    offsetLine: section.line,
    offsetIncrement: { bytes: 0, percent: null },
    ioSize: null,
    numberIos: 0,
    ioDepth: 1,
    numJobs: 1,
    fsync: 0,
    direct: false,
    runtimeNs: 0,
    timeBased: false,
    rateIopsRead: 0,
    rateIopsWrite: 0,
    thinkNs: 0,
    thinkBlocks: 1,
    startDelayNs: 0,
    stonewall: false,
    distribution: { kind: 'random' },
    randomMap: true,
    seed: null,
  };
  for (const option of [...globals, ...section.options]) {
    if (Object.hasOwn(OPTIONS, option.name)) OPTIONS[option.name](job, new FioValue(option, source));
  }
  if (job.timeBased && job.runtimeNs === 0) {
    throw new UsageError('JOB_INVALID', `${source}:${section.line}: job ${job.name} is time_based without a runtime`, {
      expected: 'runtime=10s or the like',
    });
  }
  return job;
}

function applyMode(job: WrittenJob, value: FioValue): void {
  job.mode = value.oneOf(MODES);
  job.modeLine = value.option.line;
}

/** One size for all, or `read,write,trim`; an empty place keeps what was, fewer places repeat the last. */
function applyBlockSize(job: WrittenJob, value: FioValue): void {
  const parts = value.text.split(',').map((part) => part.trim());
  if (parts.length > 3) value.fail('at most three sizes: read,write,trim');
  const sizes = parts.map((part, i) => {
    if (part === '' && parts.length > 1) return [job.readBytes, job.writeBytes, job.trimBytes][i];
    const bytes = new FioValue({ ...value.option, value: part }, value.source).bytes();
    if (bytes % SECTOR !== 0) value.fail(`a multiple of the sector, ${SECTOR} bytes`);
    if (bytes > MAX_IO_BYTES) value.fail('at most 64m');
    return bytes;
  });
  job.readBytes = sizes[0];
  job.writeBytes = sizes.at(1) ?? sizes[0];
  job.trimBytes = sizes.at(2) ?? sizes.at(1) ?? sizes[0];
  job.blockLine = value.option.line;
}

function applyRate(job: WrittenJob, value: FioValue): void {
  const parts = value.text.split(',').map((part) => part.trim());
  if (parts.length > 3) value.fail('at most three rates: read,write,trim');
  const rates = parts.map((part) =>
    part === '' ? 0 : new FioValue({ ...value.option, value: part }, value.source).count(1, 1_000_000_000),
  );
  job.rateIopsRead = rates[0];
  job.rateIopsWrite = rates.at(1) ?? rates[0];
}

function applyDistribution(job: WrittenJob, value: FioValue): void {
  const [name, ...rest] = value.text.toLowerCase().split(':');
  const theta = rest.at(0);
  if (name === 'random' && theta === undefined) {
    job.distribution = { kind: 'random' };
    return;
  }
  const exponent = theta === undefined ? 1.1 : /^\d+(\.\d+)?$/.test(theta) ? Number(theta) : NaN;
  if (name !== 'zipf' || !(exponent > 0 && exponent <= 10)) {
    value.fail('random, zipf or zipf:theta with theta above 0 and at most 10', 'random_distribution=zipf:1.1');
  }
  job.distribution = { kind: 'zipf', theta: exponent };
}

function note(options: readonly IniOption[], unsupported: IniOption[]): void {
  for (const option of options) {
    if (!Object.hasOwn(OPTIONS, option.name) && !NOTED.includes(option.name)) unsupported.push(option);
  }
}

function warningFor(unsupported: readonly IniOption[], source: string, strict: boolean): string | null {
  if (unsupported.length === 0) return null;
  const known = [...Object.keys(OPTIONS), ...NOTED];
  const named = unsupported.map((option) => {
    const near = closest(option.name, known);
    const meant = distance(option.name, near) <= 2 ? `, did you mean ${near}?` : '';
    return `${option.name} (line ${option.line}${meant})`;
  });
  const text = `options without effect here: ${named.join(', ')}`;
  if (strict) {
    throw new UsageError('JOB_INVALID', `${source}:${unsupported[0].line}: ${text}`, {
      expected: 'supported options only, as --strict asks',
      hint: 'running without --strict, or removing them',
    });
  }
  return `${source}: ${text}`;
}
