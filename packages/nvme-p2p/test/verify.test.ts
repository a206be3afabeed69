import { verifyDriver } from '@pincushion/testing';
import { NvmeController, NvmeDriver, plugin } from '../src/index';

describe('the NVMe driver', () => {
  it.each(['unplug', 'unbind', 'dead-bus'])('gives back what programs are using, at every step: %s', (only) => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    expect(verifyDriver(NvmeDriver, { hardware: NvmeController, example, only }).problems).toEqual([]);
  });

  it('passes the suite that every driver must pass', () => {
    const { example } = plugin;
    if (example === undefined) throw new Error('the plugin has no example');
    // A controller whose registers are 0 is looked at every millisecond until its timeout: in the long tests.
    const skip = ['zero-bus'];
    const report = verifyDriver(NvmeDriver, { hardware: NvmeController, example, limit: 4, skip });
    expect(report.problems).toEqual([]);
    expect(report.checks.map(({ name }) => name)).toContain('reset');
  }, 30_000);
});
