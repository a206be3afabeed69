import { UsageError } from '@pincushion/sim';
import type { FioJob } from '../src/fio-job';
import { fitFioJob, parseFioJob } from '../src/fio-job';

const DISK = { name: 'nvme0n1', capacitySectors: 2 ** 21, logicalBlockBytes: 512 };

function jobsOf(text: string, disk = DISK): FioJob[] {
  return fitFioJob(parseFioJob(text, 'my.fio'), () => disk);
}

function refusal(text: string, disk = DISK): string {
  try {
    jobsOf(text, disk);
  } catch (error) {
    if (error instanceof UsageError && error.code === 'JOB_INVALID') return error.message;
    throw error;
  }
  throw new Error('the job was accepted');
}

describe('fio job files', () => {
  it('have the defaults of fio', () => {
    expect(jobsOf('[a]')[0]).toMatchObject({
      name: 'a',
      sequential: true,
      readPercent: 100,
      readBytes: 4096,
      size: 2 ** 30,
      totalBytes: 2 ** 30,
      ioDepth: 1,
      randomMap: true,
    });
  });

  it('take options of [global], also of a later one, and let a job override them', () => {
    const jobs = jobsOf('[global]\nbs=8k\niodepth=4\n[a]\n[b]\nbs=16k\n[global]\niodepth=9\n[c]\n');
    expect(jobs.map((job) => [job.name, job.readBytes, job.ioDepth])).toEqual([
      ['a', 8192, 4],
      ['b', 16384, 4],
      ['c', 8192, 9],
    ]);
  });

  it('read every supported option', () => {
    const [job] = jobsOf(`
      ; a comment
      [mixed]
      rw=randrw            # and one behind a value
      rwmixread=70
      bs=4k,8k
      size=10%
      offset=1M
      io_size=5m
      number_ios=100
      iodepth=16
      fsync=8
      runtime=2
      rate_iops=1k,500
      thinktime=100
      thinktime_blocks=4
      startdelay=5ms
      stonewall
      random_distribution=zipf:1.2
      randseed=7
      norandommap=1
      verify=crc32c
      direct=1
      ioengine=libaio
    `);
    expect(job).toMatchObject({
      sequential: false,
      readPercent: 70,
      readBytes: 4096,
      writeBytes: 8192,
      size: 107374080,
      offset: 2 ** 20,
      totalBytes: 5 * 2 ** 20,
      totalIos: 100,
      ioDepth: 16,
      fsync: 8,
      runtimeNs: 2e9,
      rateIopsRead: 1024,
      rateIopsWrite: 500,
      thinkNs: 100_000,
      thinkBlocks: 4,
      startDelayNs: 5_000_000,
      stonewall: true,
      distribution: { kind: 'zipf', theta: 1.2 },
      seed: 7,
      randomMap: false,
    });
  });

  it('write out the clones of numjobs, apart by offset_increment', () => {
    const jobs = jobsOf('[a]\nnumjobs=3\nsize=1m\noffset_increment=1m\nstonewall');
    expect(jobs.map((job) => [job.name, job.index, job.offset, job.stonewall])).toEqual([
      ['a.0', 0, 0, true],
      ['a.1', 1, 2 ** 20, false],
      ['a.2', 2, 2 ** 21, false],
    ]);
  });

  it('end by time alone when time_based', () => {
    expect(jobsOf('[a]\ntime_based\nruntime=10ms\nsize=1m')[0]).toMatchObject({ totalBytes: Infinity, runtimeNs: 1e7 });
    expect(refusal('[a]\ntime_based')).toContain('time_based without a runtime');
  });

  it('share the mix the other way round with rwmixwrite', () => {
    expect(jobsOf('[a]\nrw=rw\nrwmixwrite=30')[0].readPercent).toBe(70);
  });

  it('collect options without effect in one warning, with what was probably meant', () => {
    const file = parseFioJob('[global]\nzonemode=zbd\n[a]\niodepht=4\n', 'my.fio');
    expect(file.warning).toBe(
      'my.fio: options without effect here: zonemode (line 2), iodepht (line 4, did you mean iodepth?)',
    );
    expect(parseFioJob('[a]\nioengine=libaio\nverify=md5', 'my.fio').warning).toBeNull();
    expect(() => parseFioJob('[a]\nzonemode=zbd', 'my.fio', { strict: true })).toThrow(
      /my\.fio:2: options without effect/,
    );
  });

  it.each([
    [
      'an unknown rw mode, suggesting the nearest',
      '[a]\nrw=randwriet',
      /my\.fio:2: rw cannot be used.*one of read, write.*got "randwriet".*Try rw=randwrite/,
    ],
    ['a bs of 0', '[a]\nbs=0', /my\.fio:2: bs cannot be used.*above 0/],
    ['a bs that is no multiple of the sector', '[a]\nbs=1000', /my\.fio:2: bs.*multiple of the sector, 512/],
    ['a bs beyond 64 MiB', '[a]\nbs=65m', /at most 64m/],
    [
      'a size larger than the device',
      '[a]\nrw=read\nsize=2g',
      /my\.fio:3: size of job a exceed.*at most 1073741824.*got 2147483648/,
    ],
    [
      'offset and size that exceed it together',
      '[a]\nsize=1g\noffset=4k',
      /my\.fio:2: offset and size of job a exceed/,
    ],
    ['an offset beyond the end', '[a]\noffset=1g', /offset is beyond the end/],
    ['a size below a block', '[a]\nsize=1k', /my\.fio:2: size of job a holds no block/],
    ['more than 100 per cent', '[a]\nsize=101%', /at most 100%/],
    ['a negative number', '[a]\niodepth=-3', /my\.fio:2: iodepth.*whole number from 1/],
    ['a number that overflows', '[a]\nsize=99999999999999999999g', /my\.fio:2: size cannot be used/],
    ['an unknown unit of time', '[a]\nruntime=5 parsecs', /my\.fio:2: runtime.*a time such as/],
    ['an unknown distribution', '[a]\nrandom_distribution=pareto:0.2', /random, zipf or zipf:theta/],
    ['an option before the first section', 'bs=4k\n[a]', /my\.fio:1: the option bs stands before the first section/],
    ['a file without jobs', '[global]\nbs=4k', /my\.fio: the file has no job/],
    ['an empty file', '', /the file has no job/],
    ['a section without a name', '[]\n', /my\.fio:1: a section without a name/],
    ['a line that is nothing', '[a]\n!!!', /my\.fio:2: not a line of a job file/],
    ['a binary file', '[a]\0', /this is a binary file/],
  ])('are refused for %s', (_what, text, message) => {
    expect(refusal(text)).toMatch(message);
  });

  it('are refused for a bs that does not fit the blocks of the disk', () => {
    expect(refusal('[a]\nbs=512', { ...DISK, logicalBlockBytes: 4096 })).toMatch(
      /my\.fio:2: bs does not fit the disk.*multiple of 4096, the logical block of nvme0n1/,
    );
  });

  it('answer damaged text with jobs or a coded error, whatever the damage', () => {
    const text =
      '[global]\nrw=randrw\nbs=4k,8k\nsize=10%\n[a]\nruntime=5ms\nrate_iops=100,20\nnumjobs=2\n[b]\nfsync=3\n';
    let state = 5;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 4294967296) * n);
    };
    const letters = '0123456789kmg%=,.[]\n-: ax\0é';
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      let damaged = text;
      for (let hits = 1 + below(3); hits > 0; hits--) {
        const at = below(damaged.length);
        damaged = damaged.slice(0, at) + letters[below(letters.length)] + damaged.slice(at + below(3));
      }
      try {
        for (const job of jobsOf(damaged)) {
          expect(job.offset + job.size).toBeLessThanOrEqual(2 ** 30);
          expect(job.size).toBeGreaterThanOrEqual(Math.min(job.readBytes, job.writeBytes));
        }
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(300);
    expect(refused).toBeLessThan(3000);
  });
});
