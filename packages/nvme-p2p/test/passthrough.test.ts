/** Commands of a program: ioctls on the controller's character device, with data in the program's memory. */
import type { HardwareMeta } from '@pincushion/driver';
import { hardware, hardwareMeta } from '@pincushion/driver';
import { NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_IO_CMD, NvmeController } from '../src/index';
import type { PassthroughCommand } from '../src/index';
import { pattern } from './bare-host';
import { driverBedOn } from './driver-bed';

const EINVAL = 22;
const EFAULT = 14;
const ENOTTY = 25;
const READ = 2;
const WRITE = 1;

/** Keeps of each I/O command the dwords that reads and writes leave alone: 2 to 5 and 13 to 15. */
@hardware(hardwareMeta(NvmeController) as HardwareMeta)
class RememberingController extends NvmeController {
  readonly rest: number[][] = [];

  override dmaReadWords(iova: number, into: Int32Array, at: number, words: number): number {
    const error = super.dmaReadWords(iova, into, at, words);
    const adminRing = this.submissionQueues[0]?.base ?? -1;
    const isAdmin = iova >= adminRing && iova < adminRing + 32 * 64;
    if (words === 16 && !isAdmin) this.rest.push([2, 3, 4, 5, 13, 14, 15].map((word) => into[at + word]));
    return error;
  }
}

function bedWithProgram(queueDepth = 1024) {
  const config = { ioTimeout: '10ms', adminTimeout: '50ms', queueDepth };
  const bed = driverBedOn(RememberingController, { config });
  const fd = bed.run(bed.process.open('/dev/nvme0'));
  const call = (kind: number, command: PassthroughCommand): number => bed.run(bed.process.ioctl(fd, kind, command));
  return Object.assign(bed, {
    area: bed.buffer(1 << 20),
    io: (command: PassthroughCommand): number => call(NVME_IOCTL_IO_CMD, { nsid: 1, ...command }),
    admin: (command: PassthroughCommand): number => call(NVME_IOCTL_ADMIN_CMD, command),
    call,
  });
}

describe('a passthrough command', () => {
  it.each([
    [512, 0],
    [4096, 2048],
    [8192, 4],
    [128 * 1024, 100],
  ])('moves %d bytes from and to any place of the memory that is dword aligned (offset %d)', (bytes, offset) => {
    const bed = bedWithProgram();
    const from = bed.area + offset;
    const to = bed.area + (1 << 19) + offset;
    bed.store(from, pattern(3, bytes));
    const place = { bytes, cdw10: 77, cdw12: bytes / 512 - 1 };
    expect([
      bed.io({ opcode: WRITE, address: from, ...place }),
      bed.io({ opcode: READ, address: to, ...place }),
    ]).toEqual([0, 0]);
    expect(Buffer.compare(bed.load(to, bytes), pattern(3, bytes))).toBe(0);
    bed.close();
  });

  it('gives dword 0 and the status as the controller said them, without another try', () => {
    const bed = bedWithProgram();
    const command: PassthroughCommand = { opcode: 0x0a, cdw10: 7 };
    expect(bed.admin(command)).toBe(0);
    expect(command.result).toBeGreaterThan(0);
    expect(bed.admin({ opcode: 0x7f }) & 0x7ff).toBe(1);
    bed.arm('io.read@1=EIO');
    const read = { opcode: READ, address: bed.area, bytes: 512 };
    expect([bed.io(read) & 0x7ff, bed.io(read)]).toEqual([0x281, 0]);
    bed.close();
  });

  it('is refused when it is no command, fused, too long, or its buffer is not there or not aligned', () => {
    const bed = bedWithProgram();
    const read = { opcode: READ, address: bed.area, bytes: 512 };
    expect(bed.call(0x1234, read)).toBe(-ENOTTY);
    expect(bed.io({ ...read, flags: 1 })).toBe(-EINVAL);
    expect(bed.io({ ...read, bytes: 64 << 20 })).toBe(-EINVAL);
    expect(bed.io({ ...read, address: bed.area + 2 })).toBe(-EINVAL);
    expect(bed.io({ ...read, address: 0x10_0000 })).toBe(-EFAULT);
    expect(bed.io({ ...read, metadata: 0x10_0000, metadataBytes: 8 })).toBe(-EFAULT);
    bed.close();
  });

  it('ends with Command Aborted By Host when the controller is reset under it, and is not sent again', () => {
    const bed = bedWithProgram();
    bed.store(bed.area, pattern(5, 512));
    bed.arm('io.write@1=reset');
    expect(bed.io({ opcode: WRITE, address: bed.area, bytes: 512 })).toBe(0x371);
    expect(bed.driver.resets).toBe(1);
    expect(bed.io({ opcode: READ, address: bed.area, bytes: 512 })).toBe(0);
    expect(bed.load(bed.area, 512).every((byte) => byte === 0)).toBe(true);
    bed.close();
  });

  it('leaves nothing in the ring for the commands that come after it', () => {
    const bed = bedWithProgram(4);
    const { rest } = bed.hardware;
    const odd = { cdw2: 0xdead, cdw3: 0xbeef, cdw14: 7, cdw15: -1 };
    for (let i = 0; i < 4; i++) expect(bed.io({ opcode: READ, address: bed.area, bytes: 512, ...odd })).toBe(0);
    expect(rest.at(-1)).toEqual([0xdead, 0xbeef, 0, 0, 0, 7, -1]);
    rest.length = 0;
    for (let i = 0; i < 8; i++) expect(bed.write(bed.area, 4096, i * 8)).toBe(4096);
    expect(rest).toEqual(Array.from({ length: 8 }, () => [0, 0, 0, 0, 0, 0, 0]));
    bed.close();
  });
});
