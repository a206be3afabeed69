/**
 * Admin commands that change namespaces: Format NVM, and Namespace Attachment.
 *
 *   Format      all blocks anew, deallocated, in one of the LBA formats without metadata; one namespace, or all of them
 *   Attachment  attach to, or detach from, the controllers in a list; there is one controller
 *
 * Left out: Namespace Management (namespaces come from the description), secure erase (nothing is left anyway), metadata and
 * protection information.
 * Source: NVM Express Base Specification 1.4, sections 5.23 and 5.20.
 */
import { BROADCAST_NSID, DW12_NLB_MASK } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import type { AdminTransfer } from './admin-transfer';
import type { CommandSlots } from '../queues/command-slots';
import type { CommandTiming } from '../timing/command-timing';
import type { ControllerConfig } from '../controller-config';
import { NAMESPACES_MAX } from '../controller-config';
import { CONTROLLER_ID } from './identify';
import { LBA_FORMATS } from '../media/namespace';
import type { NamespaceTable, NoticeBoard } from '../media/namespace-table';

const HIGH_WORD = 0x1_0000_0000;
const SELECT_ATTACH = 0;
const SELECT_DETACH = 1;
const CONTROLLER_LIST_BYTES = 4096;

export class NamespaceCommands {
  private readonly list = new Uint8Array(CONTROLLER_LIST_BYTES);

  constructor(
    private readonly table: NamespaceTable,
    private readonly board: NoticeBoard,
    private readonly transfer: AdminTransfer,
    private readonly timing: CommandTiming,
    private readonly config: ControllerConfig,
    private readonly slots: CommandSlots,
  ) {}

  format(words: Int32Array, at: number): number {
    const nsid = words[at + 1] >>> 0;
    const dword10 = words[at + 10];
    const all = nsid === BROADCAST_NSID;
    const one = all ? null : this.table.find(nsid);
    if (one === undefined) return NvmeStatus.invalidNamespace;
    if (one === null && !all) return NvmeStatus.invalidField;
    const format = (dword10 & 15) | (((dword10 >>> 12) & 3) << 4);
    const blockShift = LBA_FORMATS.at(format) ?? 0;
    const protection = (dword10 >>> 5) & 7;
    if (blockShift === 0 || protection !== 0) return NvmeStatus.invalidFormat;
    for (const namespace of this.table.active) {
      if (namespace === null || (one !== null && namespace !== one)) continue;
      this.timing.deallocate(namespace.id, 0, namespace.blocks * namespace.blockBytes);
      // What is inside was checked against the blocks as they were.
      this.slots.refuseInside(namespace.id, NvmeStatus.formatInProgress, () => true);
      if (!namespace.reformat(blockShift)) return NvmeStatus.writeFault;
    }
    return NvmeStatus.success;
  }

  attach(words: Int32Array, at: number): number {
    const nsid = words[at + 1] >>> 0;
    const select = words[at + 10] & 15;
    if (nsid === 0 || (nsid > NAMESPACES_MAX && nsid !== BROADCAST_NSID)) return NvmeStatus.invalidNamespace;
    if (!this.config.namespaceManagement || nsid === BROADCAST_NSID) return NvmeStatus.invalidField;
    if (this.table.allocated[nsid] === null) return NvmeStatus.invalidField;
    const status = this.transfer.fromHost(words, at, this.list, CONTROLLER_LIST_BYTES);
    if (status !== NvmeStatus.success) return status;
    const view = new DataView(this.list.buffer);
    const controllers = view.getUint16(0, true);
    if (controllers !== 1 || view.getUint16(2, true) !== CONTROLLER_ID) return NvmeStatus.controllerListInvalid;
    if (select === SELECT_ATTACH) return this.attachOne(nsid);
    return select === SELECT_DETACH ? this.detachOne(nsid) : NvmeStatus.invalidField;
  }

  /** A namespace is attached, or detached, or has another size: the host is told if it wants to know. */
  attachOne(nsid: number): number {
    return this.table.attach(nsid, this.board);
  }

  detachOne(nsid: number): number {
    return this.table.detach(nsid, this.board);
  }

  resize(nsid: number, blocks: number): void {
    const namespace = this.table.allocated.at(nsid) ?? null;
    if (namespace === null) return;
    namespace.resize(blocks);
    const { words } = this.slots;
    this.slots.refuseInside(nsid, NvmeStatus.lbaOutOfRange, (at) => {
      const first = (words[at + 11] >>> 0) * HIGH_WORD + (words[at + 10] >>> 0);
      return first + (words[at + 12] & DW12_NLB_MASK) + 1 > namespace.blocks;
    });
    this.table.note(nsid, this.board);
  }
}
