import { verifyDriver } from '@pincushion/testing';
import { NvmeController, NvmeDriver, plugin } from '../src/index';

describe('the NVMe driver', () => {
  it('passes every trial of the suite', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(NvmeDriver, { hardware: NvmeController, example, limit: 1000 }).problems).toEqual([]);
  });
});
