import { Memory } from '@pincushion/mm';
import { World } from '@pincushion/sim';
import { Paranoia } from '../src/paranoia';

it('a contradiction in memory becomes a finding, once', () => {
  const world = new World();
  const memory = new Memory(world, { ramBytes: 16 << 20 });
  const paranoia = new Paranoia({ memory, world });
  paranoia.look();
  expect(world.findings.all).toEqual([]);
  memory.frames.refcount[memory.allocFolio(0)] = 0;
  paranoia.look();
  paranoia.look();
  expect(world.findings.all.map(({ code, summary }) => `${code}: ${summary}`)).toEqual([
    expect.stringMatching(/^MEMORY_INVALID: memory contradicts itself: frame \d+ is lost/),
  ]);
});
