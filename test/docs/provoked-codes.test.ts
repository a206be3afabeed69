/** Codes that are reported where no test of a package looks: every code of the catalogue is provoked somewhere. */
import { ChoiceSource } from '@pincushion/sim';
import { NvmeController, NvmeDriver } from '@pincushion/nvme-p2p';
import { testDevice } from '@pincushion/testing';

describe('a recording of choices', () => {
  it.each([
    ['seed 1\n', /CHOICES_UNREADABLE: line 1 .*pincushion-choices 1/],
    ['pincushion-choices 1\nforce latency 0 17 8\n', /CHOICES_UNREADABLE: the recording names no seed/],
    [
      'pincushion-choices 1\nseed 1\nforce latency 0\n',
      /CHOICES_UNREADABLE: line 3 .*force NAME INSTANCE COUNTER VALUE/,
    ],
    ['pincushion-choices 1\nseed -1\n', /CHOICES_UNREADABLE: line 2 /],
  ])('that is damaged is refused: %j', (text, message) => {
    expect(() => ChoiceSource.parse(text)).toThrow(message);
  });

  it('is read back as it was written', () => {
    const written = new ChoiceSource(42, [{ name: 'latency', instance: 0, counter: 17, value: 8 }]).recording();
    const { seed, forced } = ChoiceSource.parse(written);
    expect(new ChoiceSource(seed, forced).recording()).toBe(written);
  });
});

describe('an NVMe driver', () => {
  it('whose queues do not fit into memory says so, and leaves nothing behind', () => {
    const boot = () =>
      testDevice(NvmeDriver, {
        hardware: NvmeController,
        memoryBytes: 8 * 1024 * 1024,
        cpus: 64,
        model: { queueEntries: 4096 },
        config: { queueDepth: 4096 },
      });
    expect(boot).toThrow(/DRIVER_PROBE_FAILED.*OUT_OF_MEMORY: no \d+ bytes for /);
  });
});
