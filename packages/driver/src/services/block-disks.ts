/**
 * Block disks of a driver: registering makes `/dev/<name>`.
 *
 * When the device is removed, the disk refuses new bios first, then `remove` runs, then the registration is released: it
 * waits until no bio is in flight. On a surprise removal nothing will complete by itself, so the driver's `remove` must
 * end every bio.
 * Source followed: `device_add_disk`, `del_gendisk` (`block/genhd.c`).
 */
import type { Disk } from '@pincushion/block';
import type { Task } from '@pincushion/sim';
import type { Managed } from '../managed';
import type { DeviceNodes } from './device-nodes';

export abstract class BlockDisks {
  /** Task context. The name of the node is `disk.name`. */
  abstract register(disk: Disk): Managed;
}

/** The service as bound to one device. */
export class DeviceBlockDisks extends BlockDisks {
  private readonly disks = new Set<Disk>();

  constructor(
    private readonly nodes: DeviceNodes,
    private readonly devicePath: string,
  ) {
    super();
  }

  override register(disk: Disk): Managed {
    const { nodes, disks, devicePath } = this;
    nodes.add({ kind: 'disk', name: disk.name, devicePath, disk });
    disks.add(disk);
    return {
      what: `disk ${disk.name}`,
      *release(): Task {
        disk.gone = true;
        nodes.delete(disk.name);
        disks.delete(disk);
        yield* disk.waitIdle();
      },
    };
  }

  /** No new bio from now on. */
  refuse(): void {
    for (const disk of this.disks) disk.gone = true;
  }

  /** Takes back every registration that is left. */
  removeAll(): void {
    for (const disk of this.disks) this.nodes.delete(disk.name);
    this.disks.clear();
  }
}
