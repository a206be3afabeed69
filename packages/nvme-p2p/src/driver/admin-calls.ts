/**
 * Admin commands as the driver itself sends them: with a buffer of its own for the data, waiting for the reply.
 *
 * ```
 * command      must succeed: an error of the controller is thrown, and ends a probe or a reset
 * identify …   the same, with data
 * attempt …    the status instead: for what a controller may refuse; no answer at all is thrown here, too
 * ```
 * Source followed: `nvme_submit_sync_cmd`, `nvme_set_features`, `nvme_get_log` (Linux 6.18, drivers/nvme/host/core.c).
 */
import type { CoherentBuffer, DmaMapper, Task } from '@pincushion/driver';
import { EIO, ENOMEM, PincushionError, errnoName } from '@pincushion/driver';
import { AdminOpcode, IDENTIFY_BYTES } from '../spec/opcodes';
import type { AdminCommand, AdminQueue, AdminReply } from './admin-queue';

export class AdminCalls {
  constructor(
    private readonly admin: AdminQueue,
    private readonly dma: DmaMapper,
    /** Path of the device, for errors. */
    private readonly device: string,
  ) {}

  /** A command that must succeed. Task context. Throws DRIVER_PROBE_FAILED. */
  *command(command: AdminCommand): Task<AdminReply> {
    const reply = yield* this.admin.run(command);
    if (reply.status !== 0) throw this.refused(command.opcode, reply.status);
    return reply;
  }

  /** An Identify structure, copied. Task context. Throws when the controller refuses. */
  *identify(cns: number, nsid: number, commandSet = 0): Task<Uint8Array> {
    const got = yield* this.attemptIdentify(cns, nsid, commandSet);
    if (typeof got === 'number') throw this.refused(AdminOpcode.identify, got);
    return got;
  }

  /** The same; the status of the command when the controller refuses. */
  attemptIdentify(cns: number, nsid: number, commandSet = 0): Task<Uint8Array | number> {
    const opcode = AdminOpcode.identify;
    return this.read({ opcode, nsid, cdw10: cns, cdw11: commandSet << 24 }, IDENTIFY_BYTES);
  }

  /** A log page of the controller, or the status. Task context. @param bytes a multiple of 4, at most a page */
  attemptLog(id: number, bytes: number): Task<Uint8Array | number> {
    const opcode = AdminOpcode.getLogPage;
    return this.read({ opcode, nsid: 0xffffffff, cdw10: id | ((bytes / 4 - 1) << 16) }, bytes);
  }

  /** Sets a feature: dword 0 of the reply. Task context. */
  *setFeature(id: number, cdw11: number): Task<number> {
    return (yield* this.command({ opcode: AdminOpcode.setFeatures, cdw10: id, cdw11 })).result;
  }

  /** Sets a feature that takes `bytes` of data: these bytes, then zeroes. Task context. The status. */
  *setFeatureData(id: number, bytes: number, first: readonly number[]): Task<number> {
    const data = this.buffer(bytes);
    try {
      data.bytes.fill(0, 0, bytes);
      data.bytes.set(first);
      return (yield* this.attempt({ opcode: AdminOpcode.setFeatures, prp1: data.iova, cdw10: id })).status;
    } finally {
      data.release();
    }
  }

  /** A command that the controller may refuse, but must answer. Task context. */
  *attempt(command: AdminCommand): Task<AdminReply> {
    const reply = yield* this.admin.run(command);
    if (reply.status < 0) throw this.refused(command.opcode, reply.status);
    return reply;
  }

  private *read(command: AdminCommand, bytes: number): Task<Uint8Array | number> {
    const data = this.buffer(bytes);
    try {
      const reply = yield* this.attempt({ ...command, prp1: data.iova });
      return reply.status === 0 ? data.bytes.slice(0, bytes) : reply.status;
    } finally {
      data.release();
    }
  }

  private refused(opcode: number, status: number): PincushionError {
    return new PincushionError('DRIVER_PROBE_FAILED', `the controller refused admin command 0x${opcode.toString(16)}`, {
      device: this.device,
      errno: -EIO,
      expected: 'a controller that answers as the specification says',
      actual: statusText(status),
    });
  }

  /** Memory for the time of one command: whoever asks releases it. */
  private buffer(bytes: number): CoherentBuffer {
    const memory = this.dma.allocCoherent(bytes);
    if (memory !== null) return memory;
    throw new PincushionError('OUT_OF_MEMORY', `no ${bytes} bytes for the data of an admin command`, {
      device: this.device,
      errno: -ENOMEM,
    });
  }
}

/** Of a command: its status, or why there is none. */
export function statusText(status: number): string {
  return status < 0 ? errnoName(status) : `status 0x${status.toString(16)}`;
}
