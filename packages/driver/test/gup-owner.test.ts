import {
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Memory,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  newPinnedPages,
} from '@pincushion/mm';
import type { GottenPages } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { DeviceGup } from '../src/services/gup';

function twoDevices() {
  const world = new World({ seed: 1 });
  const memory = new Memory(world, { ramBytes: 64 << 20, ledger: 'full' });
  const mm = memory.createMm('program');
  const address = mm.mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS) as number;
  const [nic, gpu] = ['nic0', 'gpu0'].map((name) => new DeviceGup(memory, memory.ledger.owner(name)));
  const pins = newPinnedPages(1);
  expect(nic.pinUserPagesFast(mm, address, 1, FOLL_WRITE, pins, 0)).toBe(1);
  return { codes: () => world.findings.all.map(({ code, device }) => `${code} ${device ?? ''}`), nic, gpu, pins };
}

describe('a device', () => {
  it('may not give back what only another device has pinned', () => {
    const { codes, nic, gpu, pins } = twoDevices();
    gpu.unpinUserPages(pins, 0, 1);
    expect(codes()).toEqual(['PIN_WRONG_PAGE gpu0']);
    nic.unpinUserPages(pins, 0, 1);
    expect(codes()).toEqual(['PIN_WRONG_PAGE gpu0']);
  });

  it('is not taken for the one who releases next, when it released nothing', () => {
    const { codes, nic, gpu, pins } = twoDevices();
    gpu.unpinUserPages(pins, 0, 0);
    expect(() => {
      gpu.putPages(pins as Int32Array as GottenPages, 0, 1);
    }).toThrow('PIN_WRONG_RELEASE');
    nic.unpinUserPages(pins, 0, 1);
    expect(codes()).toEqual([]);
  });
});
