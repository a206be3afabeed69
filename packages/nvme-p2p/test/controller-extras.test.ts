/** What the controller has beyond the commands of every transcript: identifiers, gathering, logs, namespaces, its own memory. */
import { CMB_BAR, REG_CMBLOC, REG_CMBMSC, REG_CMBSTS, REG_CMBSZ } from '../src/spec/registers';
import { controllerBed, pattern, same } from './bare-host';

const FLUSH = 0;
const WRITE = 1;
const READ = 2;
const BROADCAST = 0xffffffff;
const ASYNC_EVENT = { opcode: 0x0c };

const errorLog = (prp1: number, dwords: number) => ({
  opcode: 2,
  nsid: BROADCAST,
  prp1,
  cdw10: 1 | ((dwords - 1) << 16),
});

describe('command identifiers', () => {
  it('that are inside are refused (0/03h), and the first command ends as it would', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    host.push(1, { opcode: FLUSH, nsid: 1, cid: 0x77 });
    host.push(1, { opcode: FLUSH, nsid: 1, cid: 0x77 });
    host.ring(1);
    const statuses = [host.next(1), host.next(1)].map((completion) => completion?.status);
    expect(statuses.sort()).toEqual(['0/00', '0/03!']);
    host.acknowledge(1);
    expect(host.io({ opcode: FLUSH, nsid: 1, cid: 0x77 }).status).toBe('0/00');
    bed.close();
  });
});

describe('Abort', () => {
  it('ends a command that is being worked on, once', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const cid = host.push(1, { opcode: FLUSH, nsid: 1 });
    host.ring(1);
    expect(host.admin({ opcode: 8, cdw10: (cid << 16) | 1 })).toMatchObject({ status: '0/00', result: 0 });
    expect(host.next(1)).toMatchObject({ cid, status: '0/07' });
    expect(host.next(1)).toBeNull();
    bed.close();
  });
});

describe('interrupt coalescing (feature 08h)', () => {
  it('gathers completions up to the threshold, or until the time is over, but for admin commands and vectors taken out', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const { interrupts } = host.driver;
    const flushes = (n: number): void => {
      for (let i = 0; i < n; i++) host.push(1, { opcode: FLUSH, nsid: 1 });
      host.ring(1);
    };
    // Four entries (0's based) or 50 times 100 µs.
    expect(host.admin({ opcode: 9, cdw10: 8, cdw11: (50 << 8) | 3 }).status).toBe('0/00');
    const before = [...interrupts];
    flushes(4);
    bed.advance('2ms');
    expect(interrupts[1] - before[1]).toBe(1);
    flushes(2);
    bed.advance('2ms');
    expect(interrupts[1] - before[1]).toBe(1);
    bed.advance('4ms');
    expect(interrupts[1] - before[1]).toBe(2);
    for (let i = 0; i < 6; i++) host.next(1);
    host.acknowledge(1);
    expect(host.admin({ opcode: 9, cdw10: 9, cdw11: 0x10001 }).status).toBe('0/00');
    expect(host.admin({ opcode: 10, cdw10: 9, cdw11: 1 }).result).toBe(0x10001);
    flushes(1);
    bed.advance('1ms');
    expect(interrupts[1] - before[1]).toBe(3);
    expect(interrupts[0]).toBeGreaterThan(before[0]);
    bed.close();
  });

  it('cannot be set when the controller does not have it', () => {
    const bed = controllerBed({ coalescing: false });
    bed.host.enable();
    expect(bed.host.admin({ opcode: 9, cdw10: 8, cdw11: 0x204 }).status).toBe('1/0e!');
    bed.close();
  });
});

describe('the error information log', () => {
  it('has the newest errors first, with queue, command, status, block and namespace; SMART counts them', () => {
    const bed = controllerBed({ namespaces: [{ capacity: '8MiB', badBlocks: [{ first: 64 }] }] });
    const host = bed.host.start();
    const page = host.memory(4096);
    const data = host.memory(4096);
    const first = host.io({ opcode: READ, nsid: 1, prp1: data.iova, cdw10: 64, cdw12: 0 });
    const second = host.io({ opcode: READ, nsid: 1, prp1: data.iova, cdw10: 99_999, cdw12: 0 });
    expect([first.status, second.status]).toEqual(['2/81', '0/80!']);
    expect(host.admin(errorLog(page.iova, 48)).status).toBe('0/00');
    const view = new DataView(page.bytes.buffer, page.bytes.byteOffset);
    const entry = (at: number) => ({
      count: view.getUint32(at, true),
      queue: view.getUint16(at + 8, true),
      command: view.getUint16(at + 10, true),
      status: view.getUint16(at + 12, true) >> 1,
      block: view.getUint32(at + 16, true),
      nsid: view.getUint32(at + 24, true),
    });
    expect(entry(0)).toEqual({ count: 2, queue: 1, command: second.cid, status: 0x4080, block: 99_999, nsid: 1 });
    expect(entry(64)).toEqual({ count: 1, queue: 1, command: first.cid, status: 0x281, block: 64, nsid: 1 });
    expect(entry(128).count).toBe(0);
    expect(host.admin({ opcode: 2, nsid: BROADCAST, prp1: page.iova, cdw10: 2 | (127 << 16) }).status).toBe('0/00');
    expect([view.getUint32(160, true), view.getUint32(176, true)]).toEqual([1, 2]);
    bed.close();
  });

  it('keeps as many entries as the controller has', () => {
    const bed = controllerBed({ errorLogEntries: 2 });
    const host = bed.host.start();
    const page = host.memory(4096);
    for (let i = 0; i < 3; i++) host.io({ opcode: 0x7f, nsid: 1 });
    host.admin(errorLog(page.iova, 32));
    expect([page.words[0], page.words[16]]).toEqual([3, 2]);
    expect(host.admin({ ...errorLog(page.iova, 16), cdw12: 128 }).status).toBe('0/02!');
    bed.close();
  });
});

describe('a bus error', () => {
  it('is a data transfer error of the command, in both directions and in lists, never silent', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const data = host.memory(4096);
    bed.expectFinding('DMA_FAULT');
    const nowhere = 0x7000_0000;
    expect([host.blocks(READ, 0, 1, nowhere), host.blocks(WRITE, 0, 1, nowhere)]).toEqual(['0/04!', '0/04!']);
    expect(host.blocks(READ, 0, 32, data.iova, nowhere)).toBe('0/04!');
    expect(host.admin({ opcode: 6, prp1: nowhere, cdw10: 1 }).status).toBe('0/04!');
    bed.close();
  });
});

describe('Write Uncorrectable', () => {
  it('makes blocks unreadable until they are written', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const { iova } = host.memory(4096);
    expect(host.blocks(4, 10, 4)).toBe('0/00');
    expect([host.blocks(READ, 8, 2, iova), host.blocks(READ, 8, 3, iova)]).toEqual(['0/00', '2/81']);
    expect([host.blocks(0x0c, 13, 1), host.blocks(5, 13, 1, iova)]).toEqual(['2/81', '2/81']);
    expect(host.blocks(WRITE, 11, 1, iova)).toBe('0/00');
    expect([10, 11, 12, 13].map((block) => host.blocks(READ, block, 1, iova))).toEqual([
      '2/81',
      '0/00',
      '2/81',
      '2/81',
    ]);
    expect(host.blocks(8, 10, 4)).toBe('0/00');
    expect(host.blocks(READ, 10, 4, iova)).toBe('0/00');
    bed.close();
  });
});

describe('namespaces', () => {
  it('are attached and detached; the host is told by an event and finds them in the changed list', () => {
    const bed = controllerBed({ namespaces: [{ capacity: '8MiB' }, { capacity: '4MiB', attached: false }] });
    const host = bed.host.start();
    const page = host.memory(4096);
    const list = (): number[] => {
      host.admin({ opcode: 6, prp1: page.iova, cdw10: 2 });
      return [...page.words.slice(0, 3)];
    };
    const attach = (nsid: number, select: number): string => {
      page.bytes.fill(0);
      page.words[0] = 1; // one controller: number 0
      return host.admin({ opcode: 0x15, nsid, prp1: page.iova, cdw10: select }).status;
    };
    expect(list()).toEqual([1, 0, 0]);
    expect(host.io({ opcode: FLUSH, nsid: 2 }).status).toBe('0/02!');
    expect(host.admin({ opcode: 9, cdw10: 0x0b, cdw11: 0x100 }).status).toBe('0/00');
    host.push(0, ASYNC_EVENT);
    host.ring(0);
    bed.advance('1ms');
    page.bytes.fill(0);
    page.words[0] = 1;
    host.push(0, { opcode: 0x15, nsid: 2, prp1: page.iova });
    host.ring(0);
    expect([host.next(0)?.result, host.next(0)?.result].sort()).toEqual([0, 0x040002]);
    host.acknowledge(0);
    expect(host.admin({ opcode: 2, nsid: BROADCAST, prp1: page.iova, cdw10: 4 | (1023 << 16) }).status).toBe('0/00');
    expect([...page.words.slice(0, 2)]).toEqual([2, 0]);
    expect(list()).toEqual([1, 2, 0]);
    expect(host.io({ opcode: FLUSH, nsid: 2 }).status).toBe('0/00');
    expect([attach(2, 0), attach(2, 1), attach(2, 1), attach(9, 0)]).toEqual(['1/18!', '0/00', '1/1a!', '0/02!']);
    expect(list()).toEqual([1, 0, 0]);
    bed.close();
  });

  it('take another block size by Format, and lose their content', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const data = host.memory(4096);
    data.bytes.set(pattern(1, 4096));
    expect(host.blocks(WRITE, 0, 8, data.iova)).toBe('0/00');
    expect(host.admin({ opcode: 0x80, nsid: 1, cdw10: 4 }).status).toBe('0/00');
    expect(host.blocks(READ, 0, 1, data.iova)).toBe('0/00');
    expect(data.bytes.slice(0, 4096).every((byte) => byte === 0)).toBe(true);
    expect([host.blocks(READ, 2047, 1, data.iova), host.blocks(READ, 2048, 1, data.iova)]).toEqual(['0/00', '0/80!']);
    expect(host.admin({ opcode: 0x80, nsid: 1, cdw10: 1 }).status).toBe('1/0a!');
    bed.close();
  });

  it('that are formatted while a command is inside end it (0/84h), and one that shrinks ends what lies beyond', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const { iova } = host.memory(4096);
    // Fetched while there were 16384 blocks; the drive takes longer for it than for the format.
    host.push(1, { opcode: READ, nsid: 1, prp1: iova, cdw10: 16_000, cdw12: 0 });
    host.ring(1);
    expect(host.admin({ opcode: 0x80, nsid: 1, cdw10: 4 }).status).toBe('0/00');
    expect(host.next(1)?.status).toBe('0/84');
    host.push(1, { opcode: READ, nsid: 1, prp1: iova, cdw10: 2_000, cdw12: 0 });
    host.ring(1);
    bed.hardware.resizeNamespace(1, 1_000);
    expect(host.next(1)?.status).toBe('0/80!');
    bed.close();
  });

  it('have ids of their own, as given or by their place', () => {
    const bed = controllerBed({ namespaces: [{ capacity: '1MiB', nsid: 7 }, { capacity: '1MiB' }] });
    const ids = bed.hardware.namespaces.flatMap((namespace) => (namespace === null ? [] : [namespace.id]));
    expect(ids).toEqual([2, 7]);
    bed.close();
    expect(() => controllerBed({ namespaces: [{ nsid: 2 }, {}] })).toThrow('model.namespaces');
  });

  it('of another size are told, too', () => {
    const bed = controllerBed();
    const host = bed.host.start();
    const { iova } = host.memory(4096);
    bed.hardware.resizeNamespace(1, 100);
    expect([host.blocks(READ, 99, 1, iova), host.blocks(READ, 100, 1, iova)]).toEqual(['0/00', '0/80!']);
    bed.close();
  });
});

describe('health conditions', () => {
  it('from outside are events once the host wants them, and stand in the SMART log', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const page = host.memory(4096);
    host.push(0, ASYNC_EVENT);
    host.ring(0);
    bed.advance('1ms');
    bed.hardware.reportHealth(4);
    expect(host.next(0)).toBeNull();
    host.admin({ opcode: 9, cdw10: 0x0b, cdw11: 0x1f });
    bed.hardware.reportHealth(0);
    bed.hardware.reportHealth(4);
    expect(host.next(0)?.result).toBe(0x020001);
    host.admin({ opcode: 2, nsid: BROADCAST, prp1: page.iova, cdw10: 2 | (127 << 16) });
    expect(page.bytes[0]).toBe(4);
    bed.close();
  });
});

describe('the controller memory buffer', () => {
  const CBA = 0x4000_0000;

  it('is data of commands wherever the host has put it, and not of commands that mix it with host memory', () => {
    const bed = controllerBed({ cmb: '64KiB' });
    const { host } = bed;
    const { registers } = host.driver;
    expect([host.read32(REG_CMBLOC), host.read32(REG_CMBSZ)]).toEqual([0, 0]);
    registers.write64lohi(REG_CMBMSC, CBA + 3);
    expect([host.read32(REG_CMBLOC) & 7, host.read32(REG_CMBSZ)]).toEqual([CMB_BAR, 0x111d]);
    expect(host.read32(REG_CMBSTS)).toBe(0);
    host.start();
    const data = host.memory(8192);
    data.bytes.set(pattern(3, 8192));
    expect(host.blocks(WRITE, 0, 16, data.iova, data.iova + 4096)).toBe('0/00');
    expect(host.blocks(READ, 0, 16, CBA + 0x1000, CBA + 0x2000)).toBe('0/00');
    expect(host.blocks(WRITE, 100, 16, CBA + 0x1000, CBA + 0x2000)).toBe('0/00');
    data.bytes.fill(0);
    expect(host.blocks(READ, 100, 16, data.iova, data.iova + 4096)).toBe('0/00');
    expect(same(data.bytes.slice(0, 8192), pattern(3, 8192))).toBe(true);
    expect(host.blocks(READ, 0, 16, CBA, data.iova)).toBe('0/12!');
    registers.write64lohi(REG_CMBMSC, 0);
    bed.expectFinding('DMA_FAULT');
    expect(host.blocks(READ, 0, 1, CBA)).toBe('0/04!');
    bed.close();
  });
});
