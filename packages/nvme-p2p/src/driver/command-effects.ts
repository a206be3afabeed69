/**
 * What a command does beside its own work, as the controller says in its Commands Supported and Effects log: whether nothing
 * else may run with it, and what the driver must look at again afterwards.
 * Source followed: `nvme_command_effects`, `nvme_known_admin_effects` (Linux 6.18, drivers/nvme/host/core.c).
 */
import { AdminOpcode } from '../spec/opcodes';

export const EFFECTS_LOG_BYTES = 4096;
/** Logical block content, a namespace's capability, the inventory of namespaces change. */
const CONTENT_CHANGE = 1 << 1;
const CAPABILITY_CHANGE = 1 << 2;
const INVENTORY_CHANGE = 1 << 3;
/** No other command to the namespace, or to any, while it runs. */
const EXCLUSIVE = 7 << 16;

export class CommandEffects {
  /** @param log the log page; null when the controller has none */
  constructor(private readonly log: Uint8Array | null) {}

  /** Whether no I/O may be under way with an admin command. */
  isExclusive(opcode: number): boolean {
    return (this.of(opcode) & EXCLUSIVE) !== 0;
  }

  /** Whether namespaces may have come, gone or changed their format after it. */
  changesNamespaces(opcode: number): boolean {
    return (this.of(opcode) & (CAPABILITY_CHANGE | INVENTORY_CHANGE)) !== 0;
  }

  private of(opcode: number): number {
    const known = opcode === AdminOpcode.formatNvm ? CONTENT_CHANGE | CAPABILITY_CHANGE | (1 << 16) : 0;
    const { log } = this;
    if (log === null || opcode < 0 || opcode > 0xff) return known;
    const at = 4 * opcode;
    return known | log[at] | (log[at + 1] << 8) | (log[at + 2] << 16);
  }
}
