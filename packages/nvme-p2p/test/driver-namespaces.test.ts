/** Namespaces that come, go and change while the driver runs. */
import type { Task } from '@pincushion/driver';
import { BioOp } from '@pincushion/driver';
import { NVME_IOCTL_ADMIN_CMD } from '../src/index';
import type { PassthroughCommand } from '../src/index';
import { pattern, same } from './bare-host';
import { driverBedOn } from './driver-bed';
import type { DriverBedOptions } from './driver-bed';
import { RecordingController } from './recording-controller';

const FORMAT = 0x80;
const ATTACHMENT = 0x15;
/** LBA format of 4096-byte blocks. */
const FORMAT_4K = 4;

function namespaceBed(options: DriverBedOptions = {}) {
  const bed = driverBedOn(RecordingController, {
    ...options,
    model: { namespaces: [{ capacity: '8MiB' }, { capacity: '16MiB', attached: false }], ...options.model },
    config: { ioTimeout: '10ms', adminTimeout: '50ms', ...options.config },
  });
  const area = bed.buffer(64 * 1024);
  bed.store(area, pattern(1, 64 * 1024));
  const disks = (): string[] =>
    bed.machine.nodes
      .list()
      .filter(({ kind }) => kind === 'disk')
      .map(({ name }) => name);
  const admin = (command: PassthroughCommand): Task<number> =>
    (function* () {
      const fd = yield* bed.process.open('/dev/nvme0');
      const status = yield* bed.process.ioctl(fd, NVME_IOCTL_ADMIN_CMD, command);
      yield* bed.process.close(fd);
      return status;
    })();
  /** Identify commands since the last call. */
  const asked = (): string[] => bed.hardware.seen.splice(0);
  return Object.assign(bed, { area, disks, admin, asked });
}

describe('a notice that namespaces changed', () => {
  it('makes a disk of one that was attached, and reads the list of changes, so that the next notice comes', () => {
    const bed = namespaceBed();
    expect(bed.disks()).toEqual(['nvme0n1']);
    bed.asked();
    expect(bed.hardware.attachNamespace(2)).toBe(0);
    bed.advance('10ms');
    expect(bed.disks()).toEqual(['nvme0n1', 'nvme0n2']);
    expect(bed.asked()).toEqual([
      'ASYNC_EV_REQ',
      'IDENTIFY cns 0x6',
      'GET_LOG_PAGE',
      'IDENTIFY cns 0x2',
      ...['IDENTIFY cns 0x3', 'IDENTIFY cns 0x0', 'IDENTIFY cns 0x0', 'IDENTIFY cns 0x5'],
      ...['IDENTIFY cns 0x3', 'IDENTIFY cns 0x0', 'IDENTIFY cns 0x0', 'IDENTIFY cns 0x5'],
    ]);
    const second = bed.process.directIo('nvme0n2');
    expect(bed.run(second.write(bed.area, 4096, 8))).toBe(4096);
    expect(bed.hardware.detachNamespace(2)).toBe(0);
    bed.advance('10ms');
    expect(bed.disks()).toEqual(['nvme0n1']);
    expect(bed.run(second.write(bed.area, 4096, 8))).toBe(-19);
    bed.close();
  });

  it('comes several times in a row: nothing is lost, and the last state wins', () => {
    const bed = namespaceBed();
    for (let i = 0; i < 5; i++) {
      bed.hardware.attachNamespace(2);
      bed.advance('15us');
      bed.hardware.detachNamespace(2);
      bed.hardware.detachNamespace(1);
      bed.advance('70us');
      bed.hardware.attachNamespace(1);
    }
    bed.hardware.attachNamespace(2);
    bed.advance('10ms');
    expect(bed.disks().sort()).toEqual(['nvme0n1', 'nvme0n2']);
    expect(bed.write(bed.buffer(4096), 4096, 0)).toBe(-19); // of the disk that went in between
    expect(bed.run(bed.process.directIo('nvme0n1').write(bed.area, 4096, 0))).toBe(4096);
    bed.close();
  });

  it('ends I/O in flight to a namespace that went as the controller ends it, each once, before the disk is gone', () => {
    const bed = namespaceBed({ config: { queueDepth: 8 } });
    for (let i = 0; i < 32; i++) expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, i)).toBe(0);
    bed.hardware.detachNamespace(1);
    bed.advance('20ms');
    expect(bed.disks()).toEqual([]);
    const results = [...bed.results.values()];
    expect(results).toHaveLength(32);
    for (const [first, ...more] of results) expect([[4096, -95, -19].includes(first), more]).toEqual([true, []]);
    expect(results.some(([first]) => first !== 4096)).toBe(true);
    expect(bed.submit(BioOp.write, bed.area, 4096, 0, 0, 99)).toBe(-19);
    bed.close();
  });

  it('gives a disk its new size, while I/O goes on', () => {
    const bed = namespaceBed();
    const last = 8 * 2048 - 8;
    expect(bed.write(bed.area, 4096, last)).toBe(4096);
    for (const [round, sectors, expected] of [
      [0, 4 * 2048, -28],
      [1, 8 * 2048, 4096],
    ] as const) {
      for (let i = 0; i < 16; i++) expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, 16 * round + i)).toBe(0);
      bed.hardware.resizeNamespace(1, sectors);
      bed.advance('10ms');
      expect(bed.machine.disk('nvme0n1').capacitySectors).toBe(sectors);
      expect(bed.write(bed.area, 4096, last)).toBe(expected);
    }
    expect([...bed.results.values()]).toEqual(new Array(32).fill([4096]));
    bed.close();
  });
});

describe('a command of a program that changes namespaces (nvme_passthru_start, nvme_passthru_end)', () => {
  it('Format to other blocks: the disk has them when the call returns', () => {
    const bed = namespaceBed();
    expect(bed.write(bed.area, 4096, 8)).toBe(4096);
    expect(bed.run(bed.admin({ opcode: FORMAT, nsid: 1, cdw10: FORMAT_4K }))).toBe(0);
    const disk = bed.machine.disk('nvme0n1');
    expect([disk.limits.logicalBlockBytes, disk.capacitySectors]).toEqual([4096, 8 * 2048]);
    const io = bed.process.directIo('nvme0n1');
    expect(bed.run(io.write(bed.area, 8192, 64))).toBe(8192);
    expect(bed.run(io.write(bed.area, 512, 64))).toBe(-22);
    const back = bed.buffer(8192);
    expect(bed.run(io.read(back, 8192, 64))).toBe(8192);
    expect(same(bed.load(back, 8192), pattern(1, 64 * 1024).slice(0, 8192))).toBe(true);
    expect(bed.run(bed.admin({ opcode: FORMAT, nsid: 1, cdw10: 0 }))).toBe(0);
    expect(bed.machine.disk('nvme0n1').limits.logicalBlockBytes).toBe(512);
    bed.close();
  });

  it('Format runs alone: what was in flight has ended before, what is submitted meanwhile comes after', () => {
    const bed = namespaceBed();
    const order: string[] = [];
    bed.disk.onDone = (token, result) => {
      order.push(`${token}:${result}`);
      return undefined;
    };
    bed.hardware.seen.length = 0;
    for (let i = 0; i < 8; i++) expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, i)).toBe(0);
    bed.world.spawn(bed.admin({ opcode: FORMAT, nsid: 1, cdw10: 0 }), { name: 'format' });
    bed.advance('1us');
    expect(bed.submit(BioOp.write, bed.area, 4096, 512, 0, 100)).toBe(0);
    bed.advance('20ms');
    expect(order.slice(0, 8).sort()).toEqual(Array.from({ length: 8 }, (_, i) => `${i}:4096`));
    expect(order.slice(8)).toEqual(['100:4096']);
    const sent = bed.asked();
    expect(sent.indexOf('FORMAT_NVM')).toBe(8);
    expect(sent.indexOf('WRITE', 8)).toBe(9);
    const back = bed.buffer(8192);
    expect(bed.read(back, 4096, 0)).toBe(4096);
    expect(bed.load(back, 4096).every((byte) => byte === 0)).toBe(true);
    bed.close();
  });

  it('Namespace Attachment: the disk is there, or gone, when the call returns', () => {
    const bed = namespaceBed();
    const list = bed.buffer(4096);
    const controllers = new Uint8Array(4096);
    controllers[0] = 1; // one controller, of id 0
    bed.store(list, controllers);
    const attach = (select: number): number =>
      bed.run(bed.admin({ opcode: ATTACHMENT, nsid: 2, cdw10: select, address: list, bytes: 4096 }));
    expect([attach(0), bed.disks()]).toEqual([0, ['nvme0n1', 'nvme0n2']]);
    expect([attach(1), bed.disks()]).toEqual([0, ['nvme0n1']]);
    bed.close();
  });

  it('of a controller that goes away meanwhile ends, and everything that waited ends', () => {
    for (let us = 0; us < 60; us += 3) {
      const bed = namespaceBed();
      for (let i = 0; i < 8; i++) expect(bed.submit(BioOp.write, bed.area, 4096, i * 8, i, i)).toBe(0);
      bed.world.spawn(bed.admin({ opcode: FORMAT, nsid: 1, cdw10: FORMAT_4K }), { name: 'format' });
      bed.advance(`${us}us`);
      bed.submit(BioOp.write, bed.area, 4096, 512, 0, 8);
      bed.unplug();
      bed.advance('1s');
      const ended = [...bed.results.values()];
      expect(ended.every((all) => all.length === 1)).toBe(true);
      expect(bed.device.state).toBe('gone');
      bed.close();
    }
  });
});
