/**
 * Commands of a program: an ioctl on `/dev/nvme0`, with the data in the program's own memory.
 * Data and metadata are pinned and mapped for the time of the command; more than two pages go by a PRP list. An admin command goes
 * through the admin queue, one of an I/O command set to the queue pair of the program's CPU, as a bio of its own kind, so that
 * tags, timeouts and resets are those of every other I/O. Nothing is tried again: the program gets the controller's status.
 * Left out: a timeout of one I/O command (it has the driver's), SGLs, vectored buffers. What a command means to the disks is in program-commands.ts.
 * Source followed: `nvme_user_cmd`, `nvme_user_cmd64`, `nvme_submit_user_cmd`, `nvme_map_user_request`, `nvme_dev_user_cmd` (Linux
 * 6.18, drivers/nvme/host/ioctl.c).
 */
import type {
  CharFile,
  CoherentBuffer,
  Disk,
  DmaMapper,
  Gup,
  MappedRange,
  PinnedRange,
  Task,
} from '@pincushion/driver';
import {
  BioPool,
  DmaDirection,
  EINVAL,
  EIO,
  ENOMEM,
  ENOTTY,
  FOLL_WRITE,
  PAGE_SIZE,
  submitBioWait,
} from '@pincushion/driver';
import type { AdminCommand, AdminReply, AdminQueue } from './admin-queue';
import { PASSTHROUGH_OP } from './passthrough-commands';
import type { QueuePair } from './queue-pair';

/** `NVME_IOCTL_ADMIN_CMD`: _IOWR('N', 0x41, struct nvme_passthru_cmd). */
export const NVME_IOCTL_ADMIN_CMD = 0xc0484e41;
/** `NVME_IOCTL_IO_CMD`: _IOWR('N', 0x43, struct nvme_passthru_cmd). */
export const NVME_IOCTL_IO_CMD = 0xc0484e43;

/** `struct nvme_passthru_cmd`; what is left out is 0. */
export interface PassthroughCommand {
  readonly opcode: number;
  /** Fused operations and SGLs; must be 0. */
  readonly flags?: number;
  readonly nsid?: number;
  readonly cdw2?: number;
  readonly cdw3?: number;
  /** User address of the data and its bytes; 0 bytes: no data. */
  readonly address?: number;
  readonly bytes?: number;
  /** The same for metadata in a buffer of its own. */
  readonly metadata?: number;
  readonly metadataBytes?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  readonly cdw13?: number;
  readonly cdw14?: number;
  readonly cdw15?: number;
  /** Of an admin command; the driver's when 0. */
  readonly timeoutMs?: number;
  /** Dword 0 of the completion, written by the call. */
  result?: number;
}

/** Bit 0 of an opcode: data goes from host to controller; with bit 1 both ways. */
const TO_CONTROLLER = 1;
const FROM_CONTROLLER = 2;
const ALIGNMENT = 4;

/** What the driver has for passthrough commands. */
export interface PassthroughHost {
  readonly admin: AdminQueue;
  readonly gup: Gup;
  readonly dma: DmaMapper;
  /** Bytes of the largest transfer. */
  readonly bytesMax: number;
  /** CPU that makes the call. */
  readonly cpu: number;
  /** The disk through which a command for a namespace goes; null when there is none. */
  diskOf(nsid: number): Disk | null;
  queueOf(cpu: number): QueuePair;
}

export class Passthrough {
  private bios: BioPool | null = null;

  constructor(private readonly host: PassthroughHost) {}

  /** Status of the command, 0 for success; or -errno. Task context. */
  *ioctl(file: CharFile, command: number, arg: unknown): Task<number> {
    if (command !== NVME_IOCTL_ADMIN_CMD && command !== NVME_IOCTL_IO_CMD) return -ENOTTY;
    if (typeof arg !== 'object' || arg === null || !('opcode' in arg)) return -EINVAL;
    const request = arg as PassthroughCommand;
    const { bytes = 0, metadataBytes = 0 } = request;
    if ((request.flags ?? 0) !== 0 || bytes < 0 || metadataBytes < 0 || bytes > this.host.bytesMax) return -EINVAL;
    const data = yield* this.borrow(file, request, request.address ?? 0, bytes);
    if (typeof data === 'number') return data;
    const metadata = yield* this.borrow(file, request, request.metadata ?? 0, metadataBytes);
    if (typeof metadata === 'number') {
      yield* data.giveBack();
      return metadata;
    }
    const words = { ...request, mptr: metadata.iova, prp1: data.iova, prp2: data.prp2 };
    let reply: AdminReply;
    try {
      reply = command === NVME_IOCTL_ADMIN_CMD ? yield* this.admin(words) : yield* this.io(file, words);
    } finally {
      yield* metadata.giveBack();
      yield* data.giveBack();
    }
    request.result = reply.result;
    return reply.status;
  }

  private *admin(command: AdminCommand & { readonly timeoutMs?: number }): Task<AdminReply> {
    const { timeoutMs = 0 } = command;
    const reply = yield* this.host.admin.run(command, timeoutMs === 0 ? undefined : timeoutMs * 1_000_000);
    return reply.status < 0 ? { ...reply, status: -EIO } : reply;
  }

  private *io(file: CharFile, command: AdminCommand): Task<AdminReply> {
    const disk = this.host.diskOf(command.nsid ?? 0);
    if (disk === null || disk.gone) return { status: -EINVAL, result: 0 };
    this.bios ??= new BioPool(file.mm.memory, 1);
    const bio = this.bios.alloc();
    const reply = { status: -EIO, result: 0 };
    bio.op = PASSTHROUGH_OP;
    bio.cpu = this.host.cpu;
    const queue = this.host.queueOf(bio.cpu);
    queue.passthrough.expect(bio, command, reply);
    const error = yield* submitBioWait(disk, bio);
    queue.passthrough.forget(bio);
    this.bios.free(bio);
    if (reply.status === -EIO && error < 0) reply.status = error;
    return reply;
  }

  /** Pins and maps a buffer for a command. */
  private *borrow(
    file: CharFile,
    { opcode }: PassthroughCommand,
    address: number,
    length: number,
  ): Task<Borrowed | number> {
    if (length === 0) return new Borrowed(null, null, null);
    if (address % ALIGNMENT !== 0) return -EINVAL;
    const { gup, dma } = this.host;
    const isRead = (opcode & FROM_CONTROLLER) !== 0;
    const isWrite = (opcode & TO_CONTROLLER) !== 0;
    const pinned = yield* gup.pinRange({ mm: file.mm, address, length }, isRead || !isWrite ? FOLL_WRITE : 0);
    if (typeof pinned === 'number') return pinned;
    const direction =
      isRead && isWrite ? DmaDirection.bidirectional : isWrite ? DmaDirection.toDevice : DmaDirection.fromDevice;
    const mapped = dma.mapRange(pinned, direction);
    if (typeof mapped === 'number') {
      yield* pinned.release();
      return mapped;
    }
    const list = pinned.count > 2 ? dma.allocCoherent(8 * (pinned.count - 1)) : null;
    if (pinned.count > 2 && list === null) {
      mapped.release();
      yield* pinned.release();
      return -ENOMEM;
    }
    return new Borrowed(pinned, mapped, list);
  }
}

/** A buffer of the program while a command uses it. */
class Borrowed {
  readonly iova: number;
  readonly prp2: number;

  constructor(
    private readonly pinned: PinnedRange | null,
    private readonly mapped: MappedRange | null,
    private readonly list: CoherentBuffer | null,
  ) {
    this.iova = mapped?.iova ?? 0;
    const second = this.iova - (this.iova % PAGE_SIZE) + PAGE_SIZE;
    this.prp2 = list?.iova ?? (pinned?.count === 2 ? second : 0);
    if (list === null || pinned === null) return;
    for (let i = 0; i < pinned.count - 1; i++) {
      const page = second + i * PAGE_SIZE;
      list.words[2 * i] = page | 0;
      list.words[2 * i + 1] = Math.floor(page / 0x1_0000_0000) | 0;
    }
  }

  *giveBack(): Task {
    this.list?.release();
    this.mapped?.release();
    if (this.pinned !== null) yield* this.pinned.release();
  }
}
