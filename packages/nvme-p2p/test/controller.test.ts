import { controllerBed, pattern } from './bare-host';
import type { TestHost } from './bare-host';

const FLUSH = 0;
const READ = 2;
const WRITE = 1;

function enableWith(host: TestHost, change: { aqa?: number; asq?: number; acq?: number; cc?: number }): number {
  host.write32(0x24, change.aqa ?? 0x1f001f);
  host.driver.registers.write64lohi(0x28, change.asq ?? 0x100000);
  host.driver.registers.write64lohi(0x30, change.acq ?? 0x104000);
  host.write32(0x14, change.cc ?? 0x460001);
  const csts = host.read32(0x1c);
  host.write32(0x14, 0);
  return csts;
}

describe('the register file', () => {
  it('reads after power-on as a 1.4 controller that is not enabled', () => {
    const bed = controllerBed();
    const { host } = bed;
    expect(host.read32(0x00)).toBe(0x0f0107ff);
    expect(host.read32(0x04)).toBe(0x00401820);
    expect(host.read32(0x08)).toBe(0x00010400);
    for (const offset of [0x0c, 0x10, 0x14, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x38, 0xf00, 0x1000]) {
      expect(host.read32(offset)).toBe(0);
    }
    for (const offset of [0x00, 0x08, 0x1c]) host.write32(offset, 0xffffffff);
    expect([host.read32(0x00), host.read32(0x08), host.read32(0x1c)]).toEqual([0x0f0107ff, 0x00010400, 0]);
    bed.close();
  });

  it('cuts bytes and words out of a dword, and keeps a 64-bit register in halves', () => {
    const bed = controllerBed();
    const model = bed.hardware;
    model.mmioWrite(0, 0x28, 0x1_0010_0000, 8);
    expect([model.mmioRead(0, 0x28, 4), model.mmioRead(0, 0x2c, 4)]).toEqual([0x00100000, 1]);
    expect(model.mmioRead(0, 0x28, 8)).toBe(0x1_0010_0000);
    expect([model.mmioRead(0, 0x08, 1), model.mmioRead(0, 0x09, 1), model.mmioRead(0, 0x0a, 2)]).toEqual([0, 4, 1]);
    bed.host.write32(0x0c, 0xff);
    bed.host.write32(0x10, 0x0f);
    expect(bed.host.read32(0x0c)).toBe(0xf0);
    bed.close();
  });

  it.each([
    ['no admin submission queue entries', { aqa: 0x1f0000 }],
    ['no admin completion queue entries', { aqa: 0x00001f }],
    ['an unaligned submission queue', { asq: 0x100200 }],
    ['an unaligned completion queue', { acq: 0x104008 }],
    ['pages larger than it can', { cc: 0x460001 | (5 << 7) }],
    ['entry sizes of 0', { cc: 1 }],
    ['submission entries of 128 bytes', { cc: 0x470001 }],
    ['completion entries of 8 bytes', { cc: 0x360001 }],
    ['an unknown command set', { cc: 0x460011 }],
    ['queues that are not aligned to its pages', { cc: 0x460001 | (4 << 7) }],
  ])('reports a fatal status when enabled with %s, until disabled', (_what, change) => {
    const bed = controllerBed();
    expect(enableWith(bed.host, change)).toBe(2);
    expect(bed.host.read32(0x1c)).toBe(0);
    bed.close();
  });

  it('is ready when enabled with what it offers', () => {
    const bed = controllerBed();
    expect(enableWith(bed.host, {})).toBe(1);
    expect(enableWith(bed.host, { cc: 0x460061 })).toBe(1);
    expect(enableWith(bed.host, { cc: 0x460071 })).toBe(1);
    expect(enableWith(bed.host, { cc: 0x460001 | (4 << 7), acq: 0x110000 })).toBe(1);
    bed.close();
  });

  it('completes a shutdown notice, and takes it back', () => {
    const bed = controllerBed();
    bed.host.enable();
    bed.host.write32(0x14, 0x464001);
    expect(bed.host.read32(0x1c)).toBe(9);
    bed.host.write32(0x14, 0x460001);
    expect(bed.host.read32(0x1c)).toBe(1);
    bed.host.write32(0x14, 0x460000);
    expect(bed.host.read32(0x1c)).toBe(0);
    expect(bed.host.read32(0x24)).toBe(0x1f001f);
    bed.close();
  });

  it('reports a fatal status when it cannot fetch a command', () => {
    const bed = controllerBed();
    bed.expectFinding('DMA_FAULT');
    const { host } = bed;
    host.write32(0x24, 0x1f001f);
    host.driver.registers.write64lohi(0x28, 0x7_0000_0000);
    host.driver.registers.write64lohi(0x30, 0x7_0001_0000);
    host.write32(0x14, 0x460001);
    expect(host.read32(0x1c)).toBe(1);
    host.write32(0x1000, 1);
    expect(host.read32(0x1c)).toBe(2);
    bed.close();
  });
});

describe('queues', () => {
  it('are refused with the status of what is wrong', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const page = host.memory(0x2000).iova;
    const size = (entries: number, id: number): number => ((entries - 1) << 16) | id;
    const createCq = (cdw10: number, cdw11: number, prp1 = page): string =>
      host.admin({ opcode: 5, prp1, cdw10, cdw11 }).status;
    const createSq = (cdw10: number, cdw11: number, prp1 = page + 0x1000): string =>
      host.admin({ opcode: 1, prp1, cdw10, cdw11 }).status;
    expect(createSq(size(16, 1), 0x10001)).toBe('1/00!');
    expect(createCq(size(16, 0), 3)).toBe('1/01!');
    expect(createCq(size(16, 5), 3)).toBe('1/01!');
    expect(createCq(size(1, 1), 3)).toBe('1/02!');
    expect(createCq(size(2049, 1), 3)).toBe('1/02!');
    expect(createCq(size(16, 1), 3, page + 0x100)).toBe('0/13!');
    expect(createCq(size(16, 1), 2)).toBe('0/02!');
    expect(createCq(size(16, 1), (5 << 16) | 3)).toBe('1/08!');
    expect(createCq(size(4, 1), 0x10003)).toBe('0/00');
    expect(createCq(size(4, 1), 0x10003)).toBe('1/01!');
    expect(createSq(size(16, 0), 0x10001)).toBe('1/01!');
    expect(createSq(size(16, 9), 0x10001)).toBe('1/01!');
    expect(createSq(size(16, 1), 1)).toBe('1/00!');
    expect(createSq(size(16, 1), (3 << 16) | 1)).toBe('1/00!');
    expect(createSq(size(16, 1), (99 << 16) | 1)).toBe('1/00!');
    expect(createSq(size(1, 1), 0x10001)).toBe('1/02!');
    expect(createSq(size(16, 1), 0x10001, page + 8)).toBe('0/13!');
    expect(createSq(size(16, 1), 0x10000)).toBe('0/02!');
    expect(createSq(size(16, 1), 0x10001)).toBe('0/00');
    expect(createSq(size(16, 1), 0x10001)).toBe('1/01!');
    const remove = (opcode: number, id: number): string => host.admin({ opcode, cdw10: id }).status;
    expect(remove(4, 1)).toBe('1/0c');
    expect([remove(4, 0), remove(4, 4), remove(4, 77)]).toEqual(['1/00!', '1/00!', '1/00!']);
    expect([remove(0, 0), remove(0, 4), remove(0, 77)]).toEqual(['1/01!', '1/01!', '1/01!']);
    expect([remove(0, 1), remove(0, 1), remove(4, 1), remove(4, 1)]).toEqual(['0/00', '1/01!', '0/00', '1/00!']);
    bed.close();
  });

  it('wrap: the phase flips with each round of the completion queue, the head goes round the submission queue', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start(4);
    const seen = Array.from({ length: 9 }, () => host.io({ opcode: FLUSH, nsid: 1 }));
    expect(seen.map((completion) => completion.phase)).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 1]);
    expect(seen.map((completion) => completion.sqhd)).toEqual([1, 2, 3, 0, 1, 2, 3, 0, 1]);
    bed.close();
  });

  it('hold completions back while the completion queue is full', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const cq = host.newRings(4);
    const sq = host.newRings(16);
    host.rings[1] = { ...sq, cq: cq.cq, depth: 16 };
    expect(host.admin({ opcode: 5, prp1: cq.cq.iova, cdw10: (3 << 16) | 1, cdw11: 0x10003 }).status).toBe('0/00');
    expect(host.admin({ opcode: 1, prp1: sq.sq.iova, cdw10: (15 << 16) | 1, cdw11: 0x10001 }).status).toBe('0/00');
    for (let i = 0; i < 5; i++) host.push(1, { opcode: FLUSH, nsid: 1, cid: 0x100 + i });
    host.ring(1);
    bed.advance('10ms');
    const last = (): number[] => [0, 1, 2, 3].map((i) => cq.cq.words[4 * i + 3] >>> 16);
    expect(last()).toEqual([1, 1, 1, 0]);
    const before = host.driver.interrupts[1];
    host.write32(0x100c, 3);
    bed.advance('1us');
    expect(last()).toEqual([0, 1, 1, 1]);
    expect(host.driver.interrupts[1]).toBe(before + 1);
    bed.close();
  });

  it('raise their own vector, or none when created without interrupts', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    host.createQueues(1, 8, 3);
    const rings = host.newRings(8);
    host.rings[2] = rings;
    host.admin({ opcode: 5, prp1: rings.cq.iova, cdw10: (7 << 16) | 2, cdw11: (2 << 16) | 1 });
    host.admin({ opcode: 1, prp1: rings.sq.iova, cdw10: (7 << 16) | 2, cdw11: (2 << 16) | 1 });
    const before = [...host.driver.interrupts];
    host.run(1, { opcode: FLUSH, nsid: 1 });
    host.run(2, { opcode: FLUSH, nsid: 1 });
    expect(host.driver.interrupts.map((count, vector) => count - before[vector])).toEqual([0, 0, 0, 1, 0]);
    bed.close();
  });

  it('are gone after a reset, and commands inside are dropped without a completion; the content stays', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    const data = host.memory(4096);
    data.bytes.set(pattern(1, 4096));
    expect(host.blocks(WRITE, 0, 8, data.iova)).toBe('0/00');
    host.push(1, { opcode: FLUSH, nsid: 1 });
    host.ring(1);
    host.write32(0x14, 0x460000);
    expect(host.next(1)).toBeNull();
    host.start();
    expect(host.admin({ opcode: 0, cdw10: 2 }).status).toBe('1/01!');
    data.bytes.fill(0);
    expect(host.blocks(READ, 0, 8, data.iova)).toBe('0/00');
    expect(data.bytes.slice(0, 4096)).toEqual(pattern(1, 4096));
    bed.close();
  });

  it('tell a bad doorbell by an asynchronous event, masked until the error log is read', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start(8);
    const log = host.memory(4096).iova;
    const readLog = (): string => host.admin({ opcode: 2, nsid: 0xffffffff, prp1: log, cdw10: 1 | (15 << 16) }).status;
    const request = (): void => {
      host.push(0, { opcode: 0x0c });
      host.ring(0);
    };
    request();
    host.write32(0x1000 + 8 * 7, 1);
    expect(host.next(0)).toMatchObject({ result: 0x010000, status: '0/00' });
    request();
    host.write32(0x1008, 8);
    expect(host.next(0)).toBeNull();
    host.push(0, { opcode: 2, nsid: 0xffffffff, prp1: log, cdw10: 1 | (15 << 16) });
    host.ring(0);
    expect([host.next(0)?.result, host.next(0)?.result].sort()).toEqual([0, 0x010100]);
    host.acknowledge(0);
    expect(readLog()).toBe('0/00');
    host.driver.registers.write32(0x1002, 1);
    expect(host.read32(0x1c)).toBe(1);
    for (let i = 0; i < 4; i++) request();
    request();
    expect(host.next(0)?.status).toBe('1/05');
    bed.close();
  });

  it('abort what is inside, and say when there was nothing to abort', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    bed.hardware.faults.stall = 1;
    const cid = host.push(1, { opcode: FLUSH, nsid: 1 });
    host.ring(1);
    bed.advance('10ms');
    expect(host.admin({ opcode: 8, cdw10: (0x4444 << 16) | 1 })).toMatchObject({ status: '0/00', result: 1 });
    expect(host.admin({ opcode: 8, cdw10: (cid << 16) | 1 })).toMatchObject({ status: '0/00', result: 0 });
    expect(host.next(1)).toMatchObject({ cid, status: '0/07' });
    expect(host.admin({ opcode: 8, cdw10: (1 << 16) | 4 })).toMatchObject({ status: '0/02!', result: 1 });
    bed.close();
  });

  it('complete what is inside when the submission queue is deleted', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    bed.hardware.faults.stall = 1;
    host.push(1, { opcode: FLUSH, nsid: 1 });
    const second = host.push(1, { opcode: FLUSH, nsid: 1 });
    host.ring(1);
    expect(host.admin({ opcode: 0, cdw10: 1 }).status).toBe('0/00');
    const statuses = [host.next(1), host.next(1)];
    expect(statuses.map((completion) => completion?.status)).toEqual(['0/08', '0/08']);
    expect(statuses.map((completion) => completion?.cid)).toContain(second);
    bed.close();
  });
});

describe('admin commands', () => {
  it('identify the controller, its namespaces and their list', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const page = host.memory(0x3000);
    const identify = (cdw10: number, nsid = 0): string => {
      page.bytes.fill(0xee);
      return host.admin({ opcode: 6, prp1: page.iova, nsid, cdw10 }).status;
    };
    const text = (at: number, n: number): string => Buffer.from(page.bytes.slice(at, at + n)).toString('latin1');
    const dword = (at: number): number => page.words[at / 4];
    expect(identify(1)).toBe('0/00');
    expect(text(4, 20)).toBe('PIN0001'.padEnd(20));
    expect([page.bytes[77], dword(80), page.bytes[512], page.bytes[513], dword(516)]).toEqual([
      5, 0x10400, 0x66, 0x44, 256,
    ]);
    expect(page.bytes[4096]).toBe(0xee);
    expect(identify(0, 1)).toBe('0/00');
    expect([dword(0), dword(8), (dword(128) >>> 16) & 0xff]).toEqual([16384, 16384, 9]);
    expect(identify(0, 2)).toBe('0/00');
    expect([dword(0), page.bytes[26], (dword(128 + 4 * 4) >>> 16) & 0xff]).toEqual([4096, 4, 12]);
    expect(identify(0, 3)).toBe('0/00');
    expect(page.bytes.slice(0, 4096).every((byte) => byte === 0)).toBe(true);
    expect([identify(0, 0), identify(0, 0x10000), identify(0, 0xffffffff)]).toEqual(['0/0b!', '0/0b!', '0/0b!']);
    expect(identify(2, 0)).toBe('0/00');
    expect([dword(0), dword(4), dword(8)]).toEqual([1, 2, 0]);
    expect(identify(2, 1)).toBe('0/00');
    expect([dword(0), dword(4)]).toEqual([2, 0]);
    expect(identify(2, 0xfffffffe)).toBe('0/0b!');
    expect([identify(3, 1), identify(3, 0), identify(3, 7)]).toEqual(['0/00', '0/0b!', '0/02!']);
    expect([identify(4), identify(0x20), identify(0xff)]).toEqual(['0/02!', '0/02!', '0/02!']);
    expect(identify(6)).toBe('0/00');
    bed.close();
  });

  it('follow the rules of data pointers and flags', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const page = host.memory(0x3000);
    const identify = (prp1: number, prp2: number, flags = 0): string =>
      host.admin({ opcode: 6, prp1, prp2, cdw10: 1, flags }).status;
    expect(identify(page.iova + 0x10, page.iova + 0x2000)).toBe('0/00');
    expect(Buffer.from(page.bytes.slice(0x14, 0x1b)).toString()).toBe('PIN0001');
    expect(identify(page.iova + 0x10, page.iova + 0x2004)).toBe('0/13!');
    expect(identify(page.iova, 0, 0x40)).toBe('0/02!');
    expect(identify(page.iova, 0, 1)).toBe('0/02');
    for (const opcode of [0x03, 0x07, 0x0b, 0x11, 0x7c, 0x81, 0xff]) {
      expect(host.admin({ opcode }).status).toBe('0/01!');
    }
    bed.close();
  });

  it('get and set features, and refuse what cannot be set', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.enable();
    const page = host.memory(4096);
    const get = (id: number, select = 0) => host.admin({ opcode: 10, prp1: page.iova, cdw10: id | (select << 8) });
    const set = (cdw10: number, cdw11: number, nsid = 0) =>
      host.admin({ opcode: 9, prp1: page.iova, cdw10, cdw11, nsid });
    expect(get(0).status).toBe('0/02!');
    expect(get(1).result).toBe(7);
    expect(get(4).result).toBe(0x157);
    expect(get(6).result).toBe(1);
    expect(get(7).result).toBe(0x30003);
    expect(get(4, 3).result).toBe(4);
    expect(set(7, 0x00020002)).toMatchObject({ status: '0/00', result: 0x30003 });
    expect(set(7, 0xffffffff).status).toBe('0/02!');
    expect(set(0x7f, 0).status).toBe('0/02!');
    expect(set((1 << 31) | 1, 7).status).toBe('1/0d!');
    expect([set(8, 0x204).status, get(8).result, set(2, 1).status]).toEqual(['0/00', 0x204, '1/0e!']);
    expect(set(4, 350, 1).status).toBe('1/0f!');
    expect(set(6, 0).status).toBe('0/00');
    expect(get(6).result).toBe(0);
    expect(set(0x0e, 0).status).toBe('0/00');
    expect(set(5, 0, 5).status).toBe('0/02!');
    host.createQueues(1, 8);
    expect(set(7, 0x10001).status).toBe('0/0c!');
    bed.close();
  });

  it('read log pages, whole and from an offset', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    const page = host.memory(4096);
    const data = host.memory(4096);
    for (let i = 0; i < 3; i++) host.blocks(READ, 0, 8, data.iova);
    const log = (id: number, dwords: number, offset = 0, nsid = 0xffffffff): string =>
      host.admin({ opcode: 2, prp1: page.iova, nsid, cdw10: id | ((dwords - 1) << 16), cdw12: offset }).status;
    expect(log(2, 128)).toBe('0/00');
    expect([page.bytes[0], page.bytes[1] | (page.bytes[2] << 8), page.words[16]]).toEqual([0, 323, 3]);
    expect(log(2, 16, 32)).toBe('0/00');
    expect(page.words[8]).toBe(3);
    expect([log(2, 16, 513), log(2, 16, 3), log(0x7f, 16), log(2, 16, 0, 9)]).toEqual([
      '0/02!',
      '0/02!',
      '0/02!',
      '0/0b!',
    ]);
    expect([log(1, 16), log(3, 128), log(4, 1024), log(5, 1024)]).toEqual(['0/00', '0/00', '0/00', '0/00']);
    expect(page.words[256 + 2]).toBe(1); // Read is supported
    bed.close();
  });
});

describe('I/O commands that must fail', () => {
  it('fail with the status of what is wrong, the first in order', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    const { iova } = host.memory(4096);
    for (const opcode of [0x03, 0x07, 0x20, 0x7d, 0xff]) expect(host.io({ opcode, nsid: 1 }).status).toBe('0/01!');
    for (const opcode of [WRITE, READ, 8, 9]) {
      const status = (nsid: number): string => host.io({ opcode, nsid, prp1: iova }).status;
      expect([status(0), status(3), status(0x10001), status(0xffffffff)]).toEqual(['0/0b!', '0/02!', '0/0b!', '0/02!']);
    }
    expect(host.io({ opcode: FLUSH, nsid: 0xffffffff }).status).toBe('0/00');
    expect(host.io({ opcode: FLUSH, nsid: 0 }).status).toBe('0/0b!');
    for (const opcode of [WRITE, READ, 8]) {
      expect(host.blocks(opcode, 16384, 1, iova)).toBe('0/80!');
      expect(host.blocks(opcode, 16383, 2, iova)).toBe('0/80!');
      expect(host.io({ opcode, nsid: 1, prp1: iova, cdw10: -1, cdw11: -1, cdw12: 1 }).status).toBe('0/80!');
    }
    expect(host.blocks(READ, 0, 257, iova)).toBe('0/02!');
    expect(host.blocks(READ, 16384, 257, iova)).toBe('0/02!');
    expect(host.blocks(8, 0, 16384)).toBe('0/00');
    expect(host.io({ opcode: READ, nsid: 1, prp1: iova, flags: 1 }).status).toBe('0/02');
    expect(host.io({ opcode: READ, nsid: 1, prp1: iova, flags: 0xc0 }).status).toBe('0/02!');
    bed.close();
  });

  it('deallocate: ranges read as zeroes, their neighbours stay, one beyond the end is passed over', () => {
    const bed = controllerBed();
    const { host } = bed;
    host.start();
    const data = host.memory(0x8000);
    const list = host.memory(4096);
    const ranges = host.memory(4096);
    data.bytes.set(pattern(3, 0x8000));
    host.list(list, 0, ...[1, 2, 3, 4, 5, 6, 7].map((i) => data.iova + 0x1000 * i));
    expect(host.blocks(WRITE, 0, 64, data.iova, list.iova)).toBe('0/00');
    ranges.words.set([0, 4, 24, 0, 0, 4, 28, 0, 0, 2, 16383, 0]);
    expect(host.io({ opcode: 9, nsid: 1, prp1: ranges.iova, cdw10: 2, cdw11: 4 }).status).toBe('0/00');
    expect(host.io({ opcode: 9, nsid: 1, prp1: ranges.iova, cdw10: 0, cdw11: 1 }).status).toBe('0/00');
    expect(host.blocks(READ, 0, 64, data.iova, list.iova)).toBe('0/00');
    const expected = pattern(3, 0x8000);
    expected.fill(0, 24 * 512, 32 * 512);
    expect(Buffer.compare(data.bytes.slice(0, 0x8000), expected)).toBe(0);
    bed.close();
  });
});
