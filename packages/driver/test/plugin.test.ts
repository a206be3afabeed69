import { Driver, definePlugin, driver, matchDriver, nearestName } from '@pincushion/driver';
import type { HardwareMeta, Plugin, Task } from '@pincushion/driver';
import { z } from 'zod';
import { MATCH, Widget } from './widget';

@driver({ name: 'nothing', api: 1, match: MATCH, config: z.strictObject({}) })
class Nothing extends Driver {
  override *probe(): Task {
    // Nothing to bring up.
  }

  override *remove(): Task {
    // Nothing to stop.
  }
}

class Bare extends Nothing {}
class BareWidget extends Widget {}

const plugin: Plugin = { name: 'p', api: 1, drivers: [Nothing], hardware: [Widget] };
const OTHER: HardwareMeta = { name: 'other', vendor: 0x8086, device: 0x10, bars: [], vectors: 0 };

describe('a plugin', () => {
  it('is returned as it was written', () => {
    expect(definePlugin(plugin)).toBe(plugin);
  });

  it('for another version of the contract is refused', () => {
    expect(() => definePlugin({ ...plugin, api: 2 as 1 })).toThrow('DRIVER_API_MISMATCH');
  });

  it('with a class that has no decorator is refused by name', () => {
    expect(() => definePlugin({ ...plugin, drivers: [Bare] })).toThrow(/DRIVER_METADATA_INVALID: class Bare extends/);
    expect(() => definePlugin({ ...plugin, hardware: [BareWidget] })).toThrow(/class BareWidget extends .* Widget/);
  });

  it('with an import that came out undefined is refused', () => {
    expect(() => definePlugin({ ...plugin, drivers: [undefined as never] })).toThrow(/PLUGIN_INVALID.*undefined/);
  });

  it('gives the driver whose match table has the ids', () => {
    expect(matchDriver([plugin], { ...OTHER, vendor: 0x1234, device: 1 }, 'dev0')).toBe(Nothing);
  });

  it('that matches nothing is an error that lists what there is', () => {
    expect(() => matchDriver([plugin], OTHER, 'dev0')).toThrow(
      /DRIVER_NO_MATCH: no driver for other 8086:0010 \(device dev0\). Expected hardware of one of nothing \(1234:0001\)/,
    );
  });

  it('of a second copy of the package is explained', () => {
    const registry = (globalThis as Record<symbol, unknown>)[Symbol.for('pincushion.driver')] as object[];
    registry.push({ version: '9.9.9', path: '/somewhere/node_modules/@pincushion/driver' });
    try {
      expect(() => definePlugin(plugin)).toThrow(/DRIVER_DUPLICATE_PACKAGE.*9\.9\.9 at \/somewhere.*peerDependencies/);
    } finally {
      registry.pop();
    }
  });
});

describe('nearestName', () => {
  it('finds the name that was meant', () => {
    expect(nearestName('qeueDepth', ['queueDepth', 'mode'])).toBe('queueDepth');
  });

  it('finds none when nothing is near', () => {
    expect(nearestName('zebra', ['queueDepth', 'mode'])).toBeNull();
  });
});
