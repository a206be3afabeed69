import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { UsageError } from '@pincushion/sim';
import type { BlockTrace } from '../src/block-trace';
import { TRACE_FUA, TRACE_PREFLUSH, UNKNOWN_NS } from '../src/block-trace';
import { parseBlkparse } from '../src/blkparse';
import { IoKind } from '../src/io-kind';

const TRACES = join(__dirname, '../../../examples/traces');

function parse(...lines: string[]): BlockTrace {
  return parseBlkparse(Buffer.from(lines.join('\n')), 'my.blkparse.txt');
}

function line(action: string, rwbs: string, range: string, seconds = '0.000001000', cpu = 0): string {
  return `  7,0    ${cpu}        1     ${seconds} 15074  ${action}  ${rwbs} ${range} [some program]`;
}

function refusal(text: string | Uint8Array): string {
  try {
    parseBlkparse(Buffer.from(text), 'my.blkparse.txt');
  } catch (error) {
    if (error instanceof UsageError && error.code === 'TRACE_INVALID') return error.message;
    throw error;
  }
  throw new Error('the trace was accepted');
}

describe('parseBlkparse', () => {
  it('reads queued reads, writes and discards with time, CPU and sectors', () => {
    const trace = parse(
      line('Q', 'RA', '4352 + 8', '1.000002000', 3),
      line('Q', 'WS', '16 + 2288', '2.5'),
      line('Q', 'DS', '100000000000 + 8388607'),
      line('D', 'RA', '4352 + 8'),
      line('I', 'RA', '4352 + 8'),
      '  7,0    0        9     0.000000001 15074  UT   N [program] 1',
    );
    expect(trace.count).toBe(3);
    expect([...trace.kind.slice(0, 3)]).toEqual([IoKind.read, IoKind.write, IoKind.discard]);
    expect([...trace.sector.slice(0, 3)]).toEqual([4352, 16, 100000000000]);
    expect([...trace.sectors.slice(0, 3)]).toEqual([8, 2288, 8388607]);
    expect([...trace.queuedNs.slice(0, 2)]).toEqual([1000002000, 2500000000]);
    expect(trace.cpu[0]).toBe(3);
    expect(trace.startNs).toBe(1000);
  });

  it('tells a write with flushes around it from a flush alone', () => {
    const trace = parse(
      line('Q', 'FWS', '8 + 8'),
      line('Q', 'FWFSM', '8 + 8'),
      line('Q', 'WFS', '8 + 8'),
      line('Q', 'FWS', ''),
      line('Q', 'FN', '0 + 0'),
    );
    expect([...trace.kind.slice(0, 5)]).toEqual([IoKind.write, IoKind.write, IoKind.write, IoKind.flush, IoKind.flush]);
    expect([...trace.flags.slice(0, 5)]).toEqual([TRACE_PREFLUSH, TRACE_PREFLUSH | TRACE_FUA, TRACE_FUA, 0, 0]);
  });

  it('gives each I/O inside a merged completion its recorded latency', () => {
    const trace = parse(
      line('Q', 'W', '0 + 8', '0.000001000'),
      line('Q', 'W', '8 + 8', '0.000002000'),
      line('Q', 'R', '8 + 8', '0.000003000'),
      line('C', 'W', '0 + 16', '0.000010000'),
    );
    expect([...trace.recordedNs.slice(0, 3)]).toEqual([9000, 8000, UNKNOWN_NS]);
  });

  it('counts a split I/O as over when all of it is', () => {
    const trace = parse(
      line('Q', 'W', '2000 + 100', '0.000001000'),
      line('C', 'W', '2050 + 50', '0.000005000'),
      line('C', 'W', '2000 + 50', '0.000009000'),
      line('C', 'W', '2000 + 50', '0.000020000'),
    );
    expect(trace.recordedNs[0]).toBe(8000);
  });

  it('credits one completion to one of two I/Os on the same sectors, the older first', () => {
    const trace = parse(
      line('Q', 'W', '8 + 8', '0.000001000'),
      line('Q', 'W', '8 + 8', '0.000002000'),
      line('C', 'W', '8 + 8', '0.000010000'),
    );
    expect([...trace.recordedNs.slice(0, 2)]).toEqual([9000, UNKNOWN_NS]);
  });

  it('ends flushes, oldest first, and writes with a flush behind them at completions without a length', () => {
    const trace = parse(
      line('Q', 'FWS', '', '0.000001000'),
      line('Q', 'FWS', '', '0.000002000'),
      line('Q', 'FWFSM', '64 + 8', '0.000003000'),
      line('C', 'FN', '0', '0.000004000'),
      line('C', 'WS', '0', '0.000005000'),
      line('C', 'WSM', '64 + 8', '0.000006000'),
      line('C', 'WSM', '64', '0.000007000'),
      line('C', 'WS', '0', '0.000008000'),
    );
    expect([...trace.recordedNs.slice(0, 3)]).toEqual([4000, 6000, 4000]);
  });

  it('stops at the totals that blkparse prints at the end', () => {
    expect(parse(line('Q', 'R', '0 + 8'), '', 'CPU0 (7,0):', ' Reads Queued: 5, 20KiB').count).toBe(1);
  });

  it.each([
    ['postgres-pgbench', 33659],
    ['sqlite-wal', 3312],
    ['untar-python-tree', 5314],
  ])('reads the recorded trace %s whole and finds when each I/O completed', (name, ios) => {
    const trace = parseBlkparse(readFileSync(join(TRACES, `${name}.blkparse.txt.gz`)), name);
    expect(trace.count).toBe(ios);
    expect(trace.recordedNs.subarray(0, ios).includes(UNKNOWN_NS)).toBe(false);
  });

  it('names the line, what was expected and what stands there', () => {
    const good = line('Q', 'R', '0 + 8');
    expect(refusal(`${good}\n${line('Q', 'R', '-8 + 8')}`)).toMatch(
      /my\.blkparse\.txt:2: not a line of blkparse text\. Expected the sector, a whole number from 0 up, at column \d+; got ".*-8 \+ 8/,
    );
  });

  it.each([
    ['a negative time', line('Q', 'R', '0 + 8', '-1.0')],
    ['a negative count', line('Q', 'R', '0 + -8')],
    ['a sector beyond 2^53 bytes', line('Q', 'R', '99999999999999999999 + 8')],
    ['a count beyond 32 bits of bytes', line('Q', 'D', '0 + 99999999999')],
    ['a read longer than 64 MiB', line('Q', 'R', '0 + 131073')],
    ['sector and count that overflow together', line('Q', 'D', '17592186044416 + 8')],
    ['a time beyond 2^53 ns', line('Q', 'R', '0 + 8', '9999999999999999.0')],
    ['ten digits behind the point', line('Q', 'R', '0 + 8', '1.0000000001')],
    ['a CPU beyond 65535', line('Q', 'R', '0 + 8', '1.0', 70000)],
    ['an unknown letter in rwbs', line('Q', 'RX', '0 + 8')],
    ['a read without sectors', line('Q', 'R', '')],
    ['a read of no sectors', line('Q', 'R', '8 + 0')],
    ['prose', 'this is a shopping list'],
    ['JSON', '{"trace": true}'],
  ])('refuses %s', (_what, text) => {
    expect(refusal(text)).toContain('my.blkparse.txt:1:');
  });

  it('refuses an empty file and a trace without queued I/O', () => {
    expect(refusal('')).toContain('the trace has no queued I/O');
    expect(refusal(line('C', 'R', '0 + 8'))).toContain('at least one line with action Q');
  });

  it('refuses a gzip that is cut off', () => {
    const whole = gzipSync(Buffer.from(line('Q', 'R', '0 + 8').repeat(1000)));
    expect(refusal(whole.subarray(0, whole.length / 2))).toContain('the gzip is damaged or cut off');
    expect(refusal(whole.subarray(0, 5))).toContain('the gzip is damaged or cut off');
  });

  it('refuses binary files, and names blktrace output for what it is', () => {
    expect(refusal(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2]))).toContain('this is a binary file');
    expect(refusal(Buffer.from([0x07, 0x74, 0x61, 0x65, 1, 0, 0, 0]))).toContain("blktrace's binary output");
    expect(refusal(gzipSync(Buffer.from([1, 2, 0, 4])))).toContain('this is a binary file');
  });

  it('names the line of an I/O beyond the end of a device', () => {
    const trace = parse(line('Q', 'R', '0 + 8'), line('Q', 'R', '2040 + 16'));
    expect(() => {
      trace.checkFits(2048, 'nvme0n1');
    }).toThrow(/my\.blkparse\.txt:2: sector beyond the end.*below 2048, the size of nvme0n1.*got sectors 2040 to 2055/);
    trace.checkFits(2056, 'nvme0n1');
  });

  it('names the line of an I/O that does not fit blocks of 4 KiB', () => {
    const trace = parse(line('Q', 'R', '0 + 8'), line('Q', 'R', '9 + 8'));
    expect(() => {
      trace.checkAligned(4096, 'nvme0n1');
    }).toThrow(/my\.blkparse\.txt:2: the I\/O does not fit/);
    trace.checkAligned(512, 'nvme0n1');
  });

  it('answers damaged text with a trace or a coded error, whatever the damage', () => {
    const text = [line('Q', 'FWFSM', '2107312 + 8'), line('C', 'WSM', '2107312'), line('Q', 'RA', '8 + 8')].join('\n');
    let state = 99;
    const below = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 4294967296) * n);
    };
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(text);
      for (let hits = 1 + below(3); hits > 0; hits--) bytes[below(bytes.length)] = below(256);
      const cut = below(4) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
      try {
        const trace = parseBlkparse(cut, 'fuzz');
        for (let row = 0; row < trace.count; row++) {
          expect(trace.sector[row] + trace.sectors[row]).toBeLessThanOrEqual(17592186044416);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(500);
    expect(refused).toBeLessThan(3000);
  });
});
