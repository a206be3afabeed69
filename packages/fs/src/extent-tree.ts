/**
 * The extent tree of an inode on disk: packed leaves, and index blocks when there are many.
 *
 * In memory the extents are one list (extents.ts); the tree is brought up to date when a transaction commits. The blocks it
 * needs are taken with the change that makes the list longer, so that a commit never lacks space. A change near the
 * beginning of a long list writes all leaves behind it.
 * Left out: splitting nodes, a tree deeper than two levels.
 * Source followed: fs/ext4/extents.c `ext4_ext_insert_extent`, `ext4_ext_grow_indepth` (6.18), for what it stands for.
 */
import { eagerly, settled } from '@pincushion/mm';
import { EFBIG, ENOSPC, EUCLEAN } from '@pincushion/sim';
import type { MaySleep } from '@pincushion/sim';
import type { BlockAllocator } from './block-allocator';
import { Magic } from './disk-format/block-header';
import {
  entriesPerNode,
  nodeEntries,
  nodeEntryOffset,
  readExtent,
  setNodeEntries,
  writeExtent,
} from './disk-format/extent-node';
import type { Extent } from './disk-format/extent-node';
import { ROOT_ENTRIES, rootEntryOffset } from './disk-format/inode-record';
import type { InodeRecord } from './disk-format/inode-record';
import type { Layout } from './disk-format/superblock';
import type { ExtentMap } from './extents';
import type { Transaction } from './journal/transaction';
import type { MetadataCache } from './metadata-cache';

export class ExtentTree {
  /** Its blocks on disk, in the order of the file. */
  private readonly leaves: number[] = [];
  private readonly indexes: number[] = [];
  private readonly perNode: number;
  /** When it was read or encoded last. */
  private depthOnDisk = 0;

  constructor(
    private readonly map: ExtentMap,
    private readonly cache: MetadataCache,
    private readonly allocator: BlockAllocator,
    private readonly layout: Layout,
  ) {
    this.perNode = entriesPerNode(layout.blockBytes);
  }

  /** Blocks that it takes on disk. */
  get blockCount(): number {
    return this.leaves.length + this.indexes.length;
  }

  /** Every block that it takes on disk, for checks. */
  blocks(): readonly number[] {
    return [...this.leaves, ...this.indexes];
  }

  /** 0: the extents are in the root; 1: leaves; 2: index blocks. */
  get depth(): number {
    if (this.leaves.length === 0) return 0;
    return this.indexes.length === 0 ? 1 : 2;
  }

  /** The most blocks that `encode` will write, besides the inode's. */
  encodeCost(): number {
    const changed = this.depth === this.depthOnDisk ? this.map.changedFrom : 0;
    const from = Math.min(this.leaves.length, Math.floor(changed / this.perNode));
    return this.leaves.length - from + this.indexes.length;
  }

  /** The most blocks that a change of the extents may add to a transaction. */
  get credits(): number {
    return this.leaves.length === 0 && this.map.count + 2 <= ROOT_ENTRIES ? 0 : this.blockCount + 2;
  }

  // ---- reading -------------------------------------------------------------------------------------------------------------

  /** Reads the extents; `bytes[at…]` is the record of the inode. 0, -EUCLEAN, or -errno. Task context, may sleep. */
  load(record: InodeRecord, bytes: Uint8Array, at: number): MaySleep {
    return eagerly(this.cache.memory.world, 'reading extents', this.readTree(record, bytes, at));
  }

  private *readTree({ depth, entries }: InodeRecord, bytes: Uint8Array, at: number) {
    if (depth > 2 || entries > ROOT_ENTRIES) return -EUCLEAN;
    const root: Extent[] = [];
    for (let i = 0; i < entries; i++) root.push(readExtent(bytes, rootEntryOffset(at, i)));
    this.depthOnDisk = depth;
    if (depth === 0) return this.accept(root);
    let below = root.map(({ start }) => start);
    if (depth === 2) {
      this.indexes.push(...below);
      below = [];
      for (const index of this.indexes) {
        const error = yield* this.readNode(index, Magic.extentIndex, (child) => {
          below.push(child.start);
          return undefined;
        });
        if (error !== 0) return error;
      }
    }
    this.leaves.push(...below);
    if (this.leaves.length * 2 > this.layout.blocks) return -EUCLEAN;
    for (const leaf of this.leaves) {
      const extents: Extent[] = [];
      const error = yield* this.readNode(leaf, Magic.extents, (extent) => {
        extents.push(extent);
        return undefined;
      });
      if (error !== 0) return error;
      const refused = this.accept(extents);
      if (refused !== 0) return refused;
    }
    return this.depth === depth && this.isExact() ? 0 : -EUCLEAN;
  }

  private *readNode(block: number, magic: number, visit: (entry: Extent) => undefined) {
    if (block < this.layout.dataStart) return -EUCLEAN;
    const error = yield* settled(this.cache.read(block, magic));
    if (error < 0) return error;
    const { bytes } = this.cache.get(block);
    const entries = nodeEntries(bytes);
    if (entries === 0 || entries > this.perNode) return -EUCLEAN;
    for (let i = 0; i < entries; i++) visit(readExtent(bytes, nodeEntryOffset(i)));
    return 0;
  }

  private accept(extents: readonly Extent[]): number {
    const { dataStart, blocks } = this.layout;
    for (const extent of extents) {
      if (extent.start < dataStart || extent.start + extent.length > blocks || !this.map.append(extent))
        return -EUCLEAN;
    }
    return 0;
  }

  /** Whether the blocks are exactly those that a packed tree needs. */
  private isExact(): boolean {
    const leaves = this.leavesFor(this.map.count);
    return this.leaves.length === leaves && this.indexes.length === this.indexesFor(leaves);
  }

  // ---- changing ------------------------------------------------------------------------------------------------------------

  /**
   * The list may become longer by `extra`: takes the blocks that the tree will need then. 0, -ENOSPC, or -EFBIG for a file in
   * more pieces than the tree, or a transaction of `nodesMax` blocks, has room for. The caller owes a `finish`. Inside of a change.
   */
  prepare(transaction: Transaction, extra: number, nodesMax: number): number {
    const leaves = this.leavesFor(this.map.count + extra);
    const indexes = this.indexesFor(leaves);
    if (indexes > ROOT_ENTRIES || leaves + indexes > nodesMax) return -EFBIG;
    while (this.leaves.length < leaves) if (!this.takeNode(transaction, this.leaves, Magic.extents)) return -ENOSPC;
    while (this.indexes.length < indexes)
      if (!this.takeNode(transaction, this.indexes, Magic.extentIndex)) return -ENOSPC;
    return 0;
  }

  /** The list is as long as it will be: blocks that are not needed go. Inside of a change. */
  finish(transaction: Transaction): void {
    const leaves = this.leavesFor(this.map.count);
    const indexes = this.indexesFor(leaves);
    while (this.leaves.length > leaves) this.giveBack(transaction, this.leaves.pop() ?? 0);
    while (this.indexes.length > indexes) this.giveBack(transaction, this.indexes.pop() ?? 0);
  }

  private takeNode(transaction: Transaction, nodes: number[], magic: number): boolean {
    if (this.allocator.allocate(transaction, nodes.at(-1) ?? 0, 1, true) !== 0) return false;
    nodes.push(this.allocator.runStart);
    transaction.add(this.cache.create(this.allocator.runStart, magic));
    return true;
  }

  private giveBack(transaction: Transaction, block: number): void {
    transaction.forget(this.cache.get(block));
    this.allocator.free(transaction, block, 1);
  }

  /** Writes what has changed to the blocks; `bytes[at…]` is the record of the inode. Returns the entries of the root. */
  encode(transaction: Transaction, bytes: Uint8Array, at: number): number {
    const extents = this.map.all();
    const { leaves, indexes, perNode } = this;
    const changed = this.depth === this.depthOnDisk ? this.map.changedFrom : 0;
    this.map.settle();
    this.depthOnDisk = this.depth;
    if (leaves.length === 0) {
      for (const [i, extent] of extents.entries()) writeExtent(bytes, rootEntryOffset(at, i), extent);
      return extents.length;
    }
    for (let i = Math.floor(changed / perNode); i < leaves.length; i++) {
      this.encodeNode(transaction, leaves[i], extents.slice(i * perNode, (i + 1) * perNode));
    }
    const leafEntries = leaves.map((leaf, i) => childEntry(extents[i * perNode].logical, leaf));
    for (const [i, index] of indexes.entries()) {
      this.encodeNode(transaction, index, leafEntries.slice(i * perNode, (i + 1) * perNode));
    }
    const root =
      indexes.length === 0
        ? leafEntries
        : indexes.map((index, i) => childEntry(leafEntries[i * perNode].logical, index));
    for (const [i, entry] of root.entries()) writeExtent(bytes, rootEntryOffset(at, i), entry);
    return root.length;
  }

  private encodeNode(transaction: Transaction, block: number, entries: readonly Extent[]): void {
    const node = this.cache.get(block);
    setNodeEntries(node.bytes, entries.length);
    for (const [i, entry] of entries.entries()) writeExtent(node.bytes, nodeEntryOffset(i), entry);
    transaction.add(node);
  }

  private leavesFor(extents: number): number {
    return extents <= ROOT_ENTRIES ? 0 : Math.ceil(extents / this.perNode);
  }

  private indexesFor(leaves: number): number {
    return leaves <= ROOT_ENTRIES ? 0 : Math.ceil(leaves / this.perNode);
  }
}

function childEntry(logical: number, block: number): Extent {
  return { logical, length: 0, start: block, unwritten: false };
}
