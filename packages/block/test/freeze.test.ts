import { BioOp, BlkStatus, Plug, freezeDisk, submitBio, unfreezeDisk } from '@pincushion/block';
import type { Task } from '@pincushion/sim';
import { KernelPages } from './kernel-pages';
import { bench } from './machine-under-test';

function freezeBench() {
  const machine = bench();
  const kernel = new KernelPages(machine.memory);
  const submit = (sector: number, id: number, plug: Plug | null = null): void => {
    submitBio(machine.disk, kernel.bio(BioOp.write, sector, kernel.frames(1), id), plug);
  };
  let frozen = false;
  function* freeze(): Task {
    yield* freezeDisk(machine.disk);
    frozen = true;
  }
  machine.world.spawn(freeze(), { name: 'freezer' });
  return { ...machine, kernel, submit, isFrozen: () => frozen };
}

describe('a frozen disk (blk_mq_freeze_queue)', () => {
  it('is frozen when what was in flight has ended; what comes meanwhile waits, and goes in order afterwards', () => {
    const { world, disk, kernel, submit, isFrozen } = freezeBench();
    submit(0, 1);
    world.run();
    submit(8, 2);
    submit(16, 3);
    expect([isFrozen(), disk.seen, disk.inFlight]).toEqual([false, ['1 0+8'], 1]);
    disk.interrupt();
    expect([isFrozen(), disk.seen, disk.inFlight]).toEqual([true, ['1 0+8'], 0]);
    unfreezeDisk(disk);
    expect(disk.seen).toEqual(['1 0+8', '1 8+8', '1 16+8']);
    disk.interrupt();
    disk.interrupt();
    expect(kernel.ended).toEqual(['1:0', '2:0', '3:0']);
  });

  it('keeps a bio with its plug, and one that waits in a plug already counts as in flight', () => {
    const { world, disk, submit, isFrozen } = freezeBench();
    const plug = new Plug(world);
    submit(0, 1, plug);
    world.run();
    expect([isFrozen(), disk.seen]).toEqual([false, ['1 0+8']]);
    submit(8, 2, plug);
    expect(plug.held).toBe(0);
    disk.interrupt();
    unfreezeDisk(disk);
    expect([plug.held, disk.seen]).toEqual([1, ['1 0+8']]);
    plug.finish();
    expect(disk.seen).toEqual(['1 0+8', '1 8+8']);
    disk.interrupt();
  });

  it('can have another size and other blocks: what waited and does not fit ends with an error', () => {
    const { world, disk, kernel, submit } = freezeBench();
    world.run();
    submit(8, 1);
    submit(9, 2);
    submit(4088, 3);
    disk.update(2048, { ...disk.limits, logicalBlockBytes: 4096 });
    unfreezeDisk(disk);
    disk.interrupt();
    expect(disk.seen).toEqual(['1 8+8']);
    expect(kernel.ended.sort()).toEqual(['1:0', `2:${BlkStatus.ioerr}`, `3:${BlkStatus.ioerr}`]);
    expect(() => {
      submitBio(disk, Object.assign(kernel.bio(BioOp.discard, 0, [], 4), { bytes: 512 }));
    }).toThrow(/whole blocks of 4096/);
    expect(disk.inFlight).toBe(0);
  });

  it('is needed for a change: bios on their way were cut to the old limits', () => {
    const { world, disk } = freezeBench();
    world.run();
    unfreezeDisk(disk);
    expect(() => {
      disk.update(2048, disk.limits);
    }).toThrow(/DISK_LIMITS_INVALID/);
  });

  it('ends what waited when the disk is gone by then', () => {
    const { world, disk, kernel, submit } = freezeBench();
    world.run();
    submit(0, 1);
    disk.gone = true;
    unfreezeDisk(disk);
    world.run();
    expect(kernel.ended).toEqual([`1:${BlkStatus.offline}`]);
  });
});
