import { fitFioJob, parseFioJob } from '../src/fio-job';
import { FioSource } from '../src/fio-source';
import { IoKind } from '../src/io-kind';
import { AFTER_COMPLETION, NO_MORE } from '../src/io-source';
import { JobRandom } from '../src/offset-choice';

const DISK = { name: 'd0', capacitySectors: 2 ** 21, logicalBlockBytes: 512 };

interface Issued {
  readonly kind: IoKind;
  readonly sector: number;
  readonly sectors: number;
  readonly atNs: number;
}

/** Issues everything on a device that completes each I/O after `latencyNs`. */
function issued(options: string, latencyNs = 1000, seed = 1): Issued[] {
  const [job] = fitFioJob(parseFioJob(`[j]\n${options.replaceAll(' ', '\n')}`, 'my.fio'), () => DISK);
  const source = new FioSource(job, new JobRandom(seed), 0);
  const list: Issued[] = [];
  const flying: number[] = [];
  let now = 0;
  source.start(0);
  for (;;) {
    const due = source.dueNs(now, flying.length);
    if (due === NO_MORE) return list;
    if (due <= now) {
      source.take();
      list.push({ kind: source.kind, sector: source.sector, sectors: source.sectors, atNs: now });
      flying.push(now + latencyNs);
    } else {
      const completion = flying.at(0) ?? AFTER_COMPLETION;
      expect(Math.min(due, completion)).toBeLessThan(Infinity);
      now = Math.min(due, completion);
      if (completion <= now) {
        flying.shift();
        source.completed(now, flying.length);
      }
    }
  }
}

describe('FioSource', () => {
  it('goes through its region in order and starts again at the end', () => {
    const list = issued('rw=write bs=4k offset=8k size=16k io_size=24k');
    expect(list.map((io) => io.sector)).toEqual([16, 24, 32, 40, 16, 24]);
    expect(list.every((io) => io.kind === IoKind.write && io.sectors === 8)).toBe(true);
  });

  it('visits each block of a random job once, in a scattered order', () => {
    const sectors = issued('rw=randread bs=4k size=1m').map((io) => io.sector);
    expect([...sectors].sort((a, b) => a - b)).toEqual(Array.from({ length: 256 }, (_, i) => i * 8));
    expect(sectors).not.toEqual([...sectors].sort((a, b) => a - b));
  });

  it('keeps the share of reads in a mixed job', () => {
    const list = issued('rw=randrw rwmixread=70 bs=4k size=8m');
    const reads = list.filter((io) => io.kind === IoKind.read).length;
    expect(reads / list.length).toBeGreaterThan(0.66);
    expect(reads / list.length).toBeLessThan(0.74);
  });

  it('ends after number_ios', () => {
    expect(issued('rw=read bs=4k size=1m number_ios=5').length).toBe(5);
  });

  it('flushes after every so many writes, the last included', () => {
    const kinds = issued('rw=write bs=4k size=24k fsync=3').map((io) => io.kind);
    const [w, f] = [IoKind.write, IoKind.flush];
    expect(kinds).toEqual([w, w, w, f, w, w, w, f]);
  });

  it('has no more than iodepth in flight', () => {
    const list = issued('rw=read bs=4k size=32k iodepth=4', 1000);
    expect(list.map((io) => io.atNs)).toEqual([0, 0, 0, 0, 1000, 1000, 1000, 1000]);
  });

  it('spaces starts by rate_iops', () => {
    const list = issued('rw=read bs=4k size=20k iodepth=8 rate_iops=10000', 100);
    expect(list.map((io) => io.atNs)).toEqual([0, 100000, 200000, 300000, 400000]);
  });

  it('thinks after every thinktime_blocks I/Os', () => {
    const list = issued('rw=read bs=4k size=16k thinktime=10 thinktime_blocks=2', 1000);
    expect(list.map((io) => io.atNs)).toEqual([0, 1000, 12000, 13000]);
  });

  it('goes on until its runtime when time_based, and no longer', () => {
    const list = issued('rw=read bs=4k size=8k time_based runtime=20us', 1000);
    expect(list.length).toBe(20);
    expect(issued('rw=read bs=4k size=1m runtime=5us', 1000).length).toBe(5);
  });

  it('discards with the trim modes', () => {
    expect(issued('rw=randtrim bs=64k size=256k').every((io) => io.kind === IoKind.discard && io.sectors === 128)).toBe(
      true,
    );
  });

  it('takes block sizes by direction', () => {
    const list = issued('rw=rw bs=4k,16k size=1m');
    expect(new Set(list.filter((io) => io.kind === IoKind.read).map((io) => io.sectors))).toEqual(new Set([8]));
    expect(new Set(list.filter((io) => io.kind === IoKind.write).map((io) => io.sectors))).toEqual(new Set([32]));
  });

  it('chooses other blocks for another seed', () => {
    const first = issued('rw=randread bs=4k size=1m', 1000, 1);
    expect(issued('rw=randread bs=4k size=1m', 1000, 1)).toEqual(first);
    expect(issued('rw=randread bs=4k size=1m', 1000, 2)).not.toEqual(first);
  });
});
