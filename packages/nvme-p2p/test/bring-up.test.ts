import { hardware, hardwareMeta } from '@pincushion/driver';
import type { HardwareMeta } from '@pincushion/driver';
import { testDevice } from '@pincushion/testing';
import { NvmeController, NvmeDriver } from '../src/index';
import { controllerBed } from './bare-host';

/** Keeps the admin commands it fetches: opcode, and what it is about. */
class RecordingController extends NvmeController {
  readonly seen: string[] = [];

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    const error = super.dmaReadWords(iova, into, at, words);
    if (words === 16) this.seen.push(describeCommand(into[at] & 0xff, into[at + 10] & 0xffff, into[at + 11]));
    return error;
  }
}
hardware({ ...hardwareMeta(NvmeController), name: 'recording' } as HardwareMeta)(RecordingController);

function describeCommand(opcode: number, about: number, flags: number): string {
  if (opcode === 0x06) return `identify ${about}`;
  if (opcode === 0x09) return `set feature 0x${about.toString(16)}`;
  if (opcode === 0x05) return `create cq ${about} vector ${flags >>> 16}`;
  if (opcode === 0x01) return `create sq ${about} cq ${flags >>> 16}`;
  if (opcode === 0x00) return `delete sq ${about}`;
  if (opcode === 0x04) return `delete cq ${about}`;
  return opcode === 0x0c ? 'async event request' : `opcode ${opcode}`;
}

describe('bring-up', () => {
  it('sends what Linux sends, in its order, and takes the queues down in the reverse', () => {
    const bed = testDevice(NvmeDriver, { hardware: RecordingController, name: 'nvme0', cpus: 2 });
    expect(bed.hardware.seen).toEqual([
      'identify 1',
      'set feature 0xe',
      'set feature 0x16',
      'set feature 0x7',
      'create cq 1 vector 1',
      'create sq 1 cq 1',
      'create cq 2 vector 2',
      'create sq 2 cq 2',
      'set feature 0xb',
      'async event request',
      'identify 2',
      'identify 3',
      'identify 0',
    ]);
    bed.hardware.seen.length = 0;
    bed.run(bed.device.remove('driver-unbind'));
    expect(bed.hardware.seen).toEqual(['delete sq 1', 'delete sq 2', 'delete cq 1', 'delete cq 2']);
    bed.close();
  });

  it('of Linux 6.1 itself succeeds, command by command', () => {
    const bed = controllerBed({ queuePairs: 2 });
    const { host } = bed;
    host.write32(0x14, 0);
    expect(host.enable(32, 0x460061)).toBe(true);
    const page = host.memory(4096).iova;
    const identify = (cns: number, nsid = 0): string =>
      host.admin({ opcode: 0x06, prp1: page, nsid, cdw10: cns }).status;
    const log = (id: number): string =>
      host.admin({ opcode: 0x02, prp1: page, nsid: 0xffffffff, cdw10: id | (127 << 16) }).status;
    const feature = (id: number, cdw11 = 0): string =>
      host.admin({ opcode: 0x09, prp1: page, cdw10: id, cdw11 }).status;
    const statuses = [
      identify(1),
      identify(6),
      log(5),
      feature(0x0e),
      feature(0x16),
      log(2),
      feature(7, 0x10001),
      ...host.createQueues(1, 1024),
      ...host.createQueues(2, 1024),
      feature(0x0b, 0x100),
      identify(6),
      identify(2),
      identify(3, 1),
      identify(0, 1),
      identify(0, 1),
      identify(5, 1),
      host.admin({ opcode: 0x00, cdw10: 1 }).status,
      host.admin({ opcode: 0x00, cdw10: 2 }).status,
      host.admin({ opcode: 0x04, cdw10: 1 }).status,
      host.admin({ opcode: 0x04, cdw10: 2 }).status,
    ];
    expect(statuses).toEqual(statuses.map(() => '0/00'));
    bed.close();
  });
});
