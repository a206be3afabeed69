/**
 * The program inside of the machine that sends NVMe commands of a client to a controller: each is an ioctl on its character
 * device, with the data in the program's memory, which the driver pins for the time of the command.
 */
import type { Machine, Process } from '@pincushion/machine';
import type { PassthroughCommand } from '@pincushion/nvme-p2p';
import { NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_IO_CMD } from '@pincushion/nvme-p2p';
import type { Task } from '@pincushion/sim';
import { EINVAL } from '@pincushion/sim';
import { ProgramBuffers, settled } from './program-buffers';
import type { NvmeRequest, ServedReply } from './request';

/** Invalid Field in Command and Internal Error, both with Do Not Retry: what the driver refused never saw a controller. */
const INVALID_FIELD = 0x4002;
const INTERNAL_ERROR = 0x4006;
/** Bit 1 of an opcode: data comes from the controller. */
const FROM_CONTROLLER = 2;
const NOTHING = new Uint8Array(0);

export class NvmeProgram {
  private readonly process: Process;
  private readonly buffers: ProgramBuffers;
  private fd = -1;

  /** @param device name of the controller, `nvme0` */
  constructor(
    machine: Machine,
    private readonly device: string,
  ) {
    this.process = machine.process('nvme-cli');
    this.buffers = new ProgramBuffers(this.process);
  }

  /** Task context. 0, or the errno of opening `/dev/<device>`. */
  *open(): Task<number> {
    this.fd = yield* this.process.open(`/dev/${this.device}`);
    return Math.min(this.fd, 0);
  }

  /** Task context. */
  *serve(request: NvmeRequest): Task<ServedReply> {
    const { isAdmin, data, wanted } = request;
    const bytes = Math.max(data.length, wanted);
    const address = bytes === 0 ? 0 : yield* this.buffers.take(bytes);
    if (address < 0) return refused(address);
    const command = passthroughCommand(request, address, bytes);
    let error = data.length === 0 ? 0 : Math.min(yield* settled(this.process.write(address, data)), 0);
    if (error === 0) {
      error = yield* this.process.ioctl(this.fd, isAdmin ? NVME_IOCTL_ADMIN_CMD : NVME_IOCTL_IO_CMD, command);
    }
    const isRead = error === 0 && wanted > 0 && (command.opcode & FROM_CONTROLLER) !== 0;
    const into = isRead ? new Uint8Array(wanted) : NOTHING;
    if (isRead) error = Math.min(yield* settled(this.process.read(address, into)), 0);
    if (bytes > 0) this.buffers.give(address, bytes);
    return error < 0 ? refused(error) : { status: error, result: command.result ?? 0, data: into };
  }
}

function passthroughCommand({ command }: NvmeRequest, address: number, bytes: number): PassthroughCommand {
  const view = new DataView(command.buffer, command.byteOffset, command.length);
  const word = (n: number): number => view.getUint32(4 * n, true);
  return {
    opcode: command[0],
    flags: command[1],
    nsid: word(1),
    cdw2: word(2),
    cdw3: word(3),
    address,
    bytes,
    cdw10: word(10),
    cdw11: word(11),
    cdw12: word(12),
    cdw13: word(13),
    cdw14: word(14),
    cdw15: word(15),
  };
}

function refused(errno: number): ServedReply {
  return { status: errno === -EINVAL ? INVALID_FIELD : INTERNAL_ERROR, result: 0, data: NOTHING };
}
