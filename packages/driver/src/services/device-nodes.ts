/**
 * The names under `/dev`, and those files of `/sys` that a driver makes by their whole path: one table a machine, filled by drivers, read by `open`.
 *
 * An entry goes with its device; what a program has open outlives it and answers ENODEV.
 */
import type { Disk } from '@pincushion/block';
import { PincushionError } from '@pincushion/sim';
import type { CharNode } from './char-devices';

/** Where a disk was found; empty once its driver has given it back. */
export interface DiskPlace {
  disk: Disk | null;
}

export type DeviceNode =
  | {
      readonly kind: 'disk';
      readonly name: string;
      readonly devicePath: string;
      readonly disk: Disk;
      /** What an open file keeps instead of the disk. */
      readonly place: DiskPlace;
    }
  | { readonly kind: 'char'; readonly name: string; readonly devicePath: string; readonly char: CharNode };

export class DeviceNodes {
  private readonly nodes = new Map<string, DeviceNode>();

  /** Where programs find a node. */
  static pathOf({ name }: DeviceNode): string {
    return name.startsWith('/') ? name : `/dev/${name}`;
  }

  add(node: DeviceNode): void {
    const other = this.nodes.get(node.name);
    if (other !== undefined) {
      throw new PincushionError('DEVICE_DUPLICATE', `/dev/${node.name} exists already`, {
        device: node.devicePath,
        expected: 'a name that no other device has',
        actual: `/dev/${node.name} of ${other.devicePath}`,
        hint: 'making the name of the node out of the name of the device (this.device.name)',
      });
    }
    this.nodes.set(node.name, node);
  }

  delete(name: string): void {
    this.nodes.delete(name);
  }

  get(name: string): DeviceNode | undefined {
    return this.nodes.get(name);
  }

  list(): readonly DeviceNode[] {
    return [...this.nodes.values()];
  }
}
