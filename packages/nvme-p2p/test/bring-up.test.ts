import { controllerBed } from './bare-host';

describe('bring-up', () => {
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
