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
import type { DeviceNodes, DiskPlace } from './device-nodes';

export abstract class BlockDisks {
  /** Task context. The name of the node is `disk.name`. */
  abstract register(disk: Disk): Managed;
}

/** The service as bound to one device. */
export class DeviceBlockDisks extends BlockDisks {
  private readonly places = new Map<Disk, DiskPlace>();

  constructor(
    private readonly nodes: DeviceNodes,
    private readonly devicePath: string,
  ) {
    super();
  }

  override register(disk: Disk): Managed {
    const { nodes, devicePath } = this;
    const place: DiskPlace = { disk };
    nodes.add({ kind: 'disk', name: disk.name, devicePath, disk, place });
    this.places.set(disk, place);
    const forget = (): void => {
      this.forget(disk);
    };
    return {
      what: `disk ${disk.name}`,
      *release(): Task {
        disk.gone = true;
        nodes.delete(disk.name);
        yield* disk.waitIdle();
        forget();
      },
    };
  }

  /** No new bio from now on. */
  refuse(): void {
    for (const disk of this.places.keys()) disk.gone = true;
  }

  /** Takes back every registration that is left. */
  removeAll(): void {
    for (const disk of this.places.keys()) {
      this.nodes.delete(disk.name);
      this.forget(disk);
    }
  }

  private forget(disk: Disk): void {
    const place = this.places.get(disk);
    if (place !== undefined) place.disk = null;
    this.places.delete(disk);
  }
}
