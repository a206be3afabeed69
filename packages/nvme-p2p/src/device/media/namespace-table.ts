/**
 * The namespaces of a controller, by id: those that exist, and those that are attached to it.
 *
 *   allocated   it exists: Identify lists it, a host may attach it
 *   active      attached: commands reach it
 *
 * A change of either is noted for the changed namespace list (log page 04h) and told by an asynchronous event when the host has
 * enabled namespace attribute notices.
 * Source: NVM Express Base Specification 1.4, sections 5.20, 6.1 and 5.14.1.4.
 */
import { AsyncEventType, AsyncNoticeInfo, LogPage } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import { NAMESPACES_MAX } from '../controller-config';
import { putNumber } from '../commands/identify';
import type { Namespace } from './namespace';

/** Feature 0Bh: namespace attribute notices. */
const NAMESPACE_NOTICES = 1 << 8;

/** Who is told about changes. */
export interface NoticeBoard {
  readonly asyncEvents: number;
  report(type: number, info: number, logPage: number): void;
}

export class NamespaceTable {
  /** By id; null where there is none. */
  readonly allocated: (Namespace | null)[] = new Array<Namespace | null>(NAMESPACES_MAX + 1).fill(null);
  readonly active: (Namespace | null)[] = new Array<Namespace | null>(NAMESPACES_MAX + 1).fill(null);
  private readonly changed = new Set<number>();

  add(namespace: Namespace, attached: boolean): void {
    this.allocated[namespace.id] = namespace;
    if (attached) this.active[namespace.id] = namespace;
  }

  /** The namespace of an admin command: itself; null: the id is valid, but none is attached; undefined: no valid id. */
  find(nsid: number): Namespace | null | undefined {
    return nsid === 0 || nsid > NAMESPACES_MAX ? undefined : this.active[nsid];
  }

  attach(nsid: number, board: NoticeBoard): number {
    if (this.allocated[nsid] === null) return NvmeStatus.invalidField;
    if (this.active[nsid] !== null) return NvmeStatus.alreadyAttached;
    this.active[nsid] = this.allocated[nsid];
    this.note(nsid, board);
    return NvmeStatus.success;
  }

  detach(nsid: number, board: NoticeBoard): number {
    if (this.allocated[nsid] === null) return NvmeStatus.invalidField;
    if (this.active[nsid] === null) return NvmeStatus.notAttached;
    this.active[nsid] = null;
    this.note(nsid, board);
    return NvmeStatus.success;
  }

  /** A namespace is not what it was. */
  note(nsid: number, board: NoticeBoard): void {
    this.changed.add(nsid);
    if ((board.asyncEvents & NAMESPACE_NOTICES) === 0) return;
    board.report(AsyncEventType.notice, AsyncNoticeInfo.namespaceAttribute, LogPage.changedNamespaces);
  }

  /** The changed namespace list: ids, ascending. */
  changedPage(): Uint8Array {
    const page = new Uint8Array(4096);
    for (const [i, nsid] of [...this.changed].sort((a, b) => a - b).entries()) putNumber(page, 4 * i, nsid, 4);
    return page;
  }

  /** The host has read the list. */
  forgetChanges(): void {
    this.changed.clear();
  }
}
