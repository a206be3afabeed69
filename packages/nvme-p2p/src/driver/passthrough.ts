/**
 * Admin commands of a program: an ioctl on `/dev/nvme0`, with the data in the program's own memory.
 * The buffer is pinned and mapped for the time of the command. At most two pages, so that no list is needed; Identify and
 * the log pages fit.
 * Source followed: `nvme_user_cmd`, `nvme_map_user_request` (Linux 6.18, drivers/nvme/host/ioctl.c).
 */
import type { CharFile, DmaMapper, Gup, Task } from '@pincushion/driver';
import { DmaDirection, EINVAL, EIO, ENOTTY, FOLL_WRITE, PAGE_SIZE } from '@pincushion/driver';
import type { AdminQueue } from './admin-queue';

/** `NVME_IOCTL_ADMIN_CMD`: _IOWR('N', 0x41, struct nvme_passthru_cmd). */
export const NVME_IOCTL_ADMIN_CMD = 0xc0484e41;

/** The parts of `struct nvme_passthru_cmd` that are used. */
export interface PassthroughCommand {
  readonly opcode: number;
  readonly nsid?: number;
  /** User address of the data and its bytes; 0 bytes: no data. */
  readonly address?: number;
  readonly bytes?: number;
  readonly cdw10?: number;
  readonly cdw11?: number;
  readonly cdw12?: number;
  /** Dword 0 of the completion, written by the call. */
  result?: number;
}

/** Bit 0 of an opcode: data goes from host to controller. */
const TO_CONTROLLER = 1;

/** Status of the command, 0 for success; or -errno. Task context. */
export function* adminPassthrough(
  admin: AdminQueue,
  gup: Gup,
  dma: DmaMapper,
  file: CharFile,
  command: number,
  arg: unknown,
): Task<number> {
  if (command !== NVME_IOCTL_ADMIN_CMD) return -ENOTTY;
  if (typeof arg !== 'object' || arg === null || !('opcode' in arg)) return -EINVAL;
  const request = arg as PassthroughCommand;
  const bytes = request.bytes ?? 0;
  if (bytes === 0) return yield* send(admin, request, 0, 0);
  const toController = (request.opcode & TO_CONTROLLER) !== 0;
  const range = { mm: file.mm, address: request.address ?? 0, length: bytes };
  if (bytes < 0 || (range.address % PAGE_SIZE) + bytes > 2 * PAGE_SIZE || range.address % 4 !== 0) return -EINVAL;
  const pinned = yield* gup.pinRange(range, toController ? 0 : FOLL_WRITE);
  if (typeof pinned === 'number') return pinned;
  const mapped = dma.mapRange(pinned, toController ? DmaDirection.toDevice : DmaDirection.fromDevice);
  let status: number;
  if (typeof mapped === 'number') {
    status = mapped;
  } else {
    const first = PAGE_SIZE - (mapped.iova % PAGE_SIZE);
    status = yield* send(admin, request, mapped.iova, bytes > first ? mapped.iova + first : 0);
    mapped.release();
  }
  yield* pinned.release();
  return status;
}

function* send(admin: AdminQueue, request: PassthroughCommand, prp1: number, prp2: number): Task<number> {
  const reply = yield* admin.run({
    opcode: request.opcode,
    prp1,
    prp2,
    nsid: request.nsid ?? 0,
    cdw10: request.cdw10 ?? 0,
    cdw11: request.cdw11 ?? 0,
    cdw12: request.cdw12 ?? 0,
  });
  request.result = reply.result;
  return reply.status < 0 ? -EIO : reply.status;
}
