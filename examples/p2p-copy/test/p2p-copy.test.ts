import { copyBetweenDisks } from '@pincushion/example-p2p-copy';
import { EREMOTEIO } from '@pincushion/sim';

const MIB = 1024 * 1024;

describe('a copy from SSD to SSD', () => {
  it('through host memory moves every byte twice over the root complex, and pins a host page for each page of it', () => {
    const report = copyBetweenDisks({ through: 'host' });
    expect(report).toMatchObject({ result: MIB, same: true, switchBytes: 0, peerPages: 0, hostPages: 512 });
    expect(report.rootComplexBytes).toBeGreaterThan(2 * MIB);
  });

  it('through the CMB of the target moves every byte once, past the root complex, and pins no host page', () => {
    const report = copyBetweenDisks({ through: 'peer' });
    expect(report).toMatchObject({ result: MIB, same: true, switchBytes: MIB, peerPages: 512, hostPages: 0 });
    // What is left are commands, completions and PRP lists: less than a sector for each of the 16 I/Os.
    expect(report.rootComplexBytes).toBeLessThan(16 * 512);
  });

  it('with ACS between them goes over the root complex again, still without a host page', () => {
    const report = copyBetweenDisks({ through: 'peer', target: 'sw0p2' });
    expect(report).toMatchObject({ result: MIB, same: true, switchBytes: 0, peerPages: 512, hostPages: 0 });
    expect(report.rootComplexBytes).toBeGreaterThan(MIB);
  });

  it('is refused with EREMOTEIO from a root complex that nobody knows to pass it on', () => {
    expect(copyBetweenDisks({ through: 'peer', source: 'rp1' })).toMatchObject({ result: -EREMOTEIO, switchBytes: 0 });
  });
});
