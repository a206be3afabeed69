/**
 * Log pages that never change: firmware slots, and which commands there are and what they do (command effects).
 * Source: NVM Express Base Specification 1.4, sections 5.14.1.3 and 5.14.1.5.
 */
import { AdminOpcode, NvmOpcode } from '../../spec/opcodes';
import type { ControllerConfig } from '../controller-config';
import { FIRMWARE_REVISION } from './identify';

const SUPPORTED = 1;
/** The command may change content of blocks, what is known of a namespace, the list of namespaces. */
const CHANGES_CONTENT = 1 << 1;
const CHANGES_NAMESPACE = 1 << 2;
const CHANGES_INVENTORY = 1 << 3;
/** Entries of I/O commands come after those of admin commands. */
const IO_ENTRIES = 1024;

const CONTENT_COMMANDS: readonly number[] = [
  NvmOpcode.flush,
  NvmOpcode.write,
  NvmOpcode.writeUncorrectable,
  NvmOpcode.writeZeroes,
  NvmOpcode.datasetManagement,
  NvmOpcode.copy,
];

export function firmwareLog(): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  for (let i = 0; i < 8; i++) page[8 + i] = FIRMWARE_REVISION.padEnd(8).charCodeAt(i);
  return page;
}

export function effectsLog({ writeUncorrectable, shadowDoorbells }: ControllerConfig): Uint8Array {
  const page = new Uint8Array(4096);
  for (const opcode of Object.values(AdminOpcode)) page[4 * opcode] = SUPPORTED;
  if (!shadowDoorbells) page[4 * AdminOpcode.doorbellBufferConfig] = 0;
  page[4 * AdminOpcode.namespaceAttachment] |= CHANGES_INVENTORY;
  page[4 * AdminOpcode.formatNvm] |= CHANGES_CONTENT | CHANGES_NAMESPACE;
  for (const opcode of Object.values(NvmOpcode)) {
    if (opcode === NvmOpcode.writeUncorrectable && !writeUncorrectable) continue;
    page[IO_ENTRIES + 4 * opcode] = SUPPORTED | (CONTENT_COMMANDS.includes(opcode) ? CHANGES_CONTENT : 0);
  }
  return page;
}
