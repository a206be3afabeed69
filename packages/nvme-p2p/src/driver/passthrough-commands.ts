/**
 * Commands that programs wrote themselves, on their way through a queue pair: what is sent, and where the answer goes.
 *
 * Such a command is a bio without data (REQ_OP_DRV_OUT; the direction is the program's affair). It may set words of a ring
 * entry that are zero in every other command, so these are wiped before the entry is used again.
 * Source followed: `nvme_setup_cmd`, `nvme_passthru_end` (Linux 6.18, drivers/nvme/host/core.c).
 */
import type { Bio } from '@pincushion/driver';
import { BlkStatus } from '@pincushion/driver';
import { putCommand } from './admin-queue';
import type { AdminCommand } from './admin-queue';
import { blockStatus } from './block-status';

export const PASSTHROUGH_OP = 35;
/** Command Aborted By Host: of the path related status codes, which no controller returns. */
export const HOST_ABORTED = 0x371;

export interface PassthroughReply {
  status: number;
  result: number;
}

export class PassthroughCommands {
  /** Ring entries with words to wipe. */
  stains = 0;
  private readonly stained = new Set<number>();
  private readonly commands = new Map<Bio, { readonly command: AdminCommand; readonly reply: PassthroughReply }>();

  /** @param entries the submission ring */
  constructor(private readonly entries: Int32Array) {}

  /** Says what a bio stands for, before it is submitted. The caller owes `forget`. */
  expect(bio: Bio, command: AdminCommand, reply: PassthroughReply): void {
    this.commands.set(bio, { command, reply });
  }

  forget(bio: Bio): void {
    this.commands.delete(bio);
  }

  /** Writes the command of a bio into a ring entry: its opcode, or -1 when there is none. Any context. */
  put(bio: Bio, entry: number): number {
    const known = this.commands.get(bio);
    if (known === undefined) return -1;
    putCommand(this.entries, entry << 4, known.command, 0);
    this.stained.add(entry);
    this.stains = this.stained.size;
    return known.command.opcode;
  }

  /** Zeroes what a command left in an entry, in words that no other command writes. Any context. */
  wipe(entry: number): void {
    if (!this.stained.delete(entry)) return;
    this.stains = this.stained.size;
    const at = entry << 4;
    this.entries.fill(0, at + 2, at + 6);
    this.entries.fill(0, at + 13, at + 16);
  }

  /** Keeps what the controller said; it is not tried again. @returns how the bio ends */
  ended(bio: Bio, status: number, result: number): number {
    const known = this.commands.get(bio);
    if (known !== undefined) {
      known.reply.status = status;
      known.reply.result = result;
    }
    return status === HOST_ABORTED ? BlkStatus.transport : blockStatus(status);
  }
}
