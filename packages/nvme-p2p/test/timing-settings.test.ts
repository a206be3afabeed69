import { testDevice } from '@pincushion/testing';
import { NvmeController, NvmeDriver } from '../src/index';
import { TimingSettings } from '../src/device/timing/timing-settings';
import { FlashDrive } from './flash-drive';

/** Boots a machine with a device of these settings, which says what is wrong with them. */
function booting(latency: Record<string, unknown>): () => void {
  const model = { namespaces: [{ capacity: '8MiB' }], latency };
  return () => {
    testDevice(NvmeDriver, { hardware: NvmeController, name: 'nvme0', model }).close();
  };
}

describe('the settings of the timing', () => {
  it('are those of the flat model when none are given', () => {
    expect(TimingSettings.parse({})).toMatchObject({ model: 'flat', readNs: 25_000, jitterNs: 2_000 });
    expect(TimingSettings.parse({ readNs: 1 })).toMatchObject({ model: 'flat', readNs: 1, flashReadNs: 37_000 });
  });

  it('of a preset can be changed one by one', () => {
    const settings = TimingSettings.parse({ preset: 'zn540', channels: 2, writeBufferBytes: '1MiB' });
    expect(settings).toMatchObject({ model: 'flash', channels: 2, diesPerChannel: 4, writeBufferBytes: 2 ** 20 });
  });

  it('of the flash model are those of the 970-PRO class unless given', () => {
    expect(TimingSettings.parse({ model: 'flash' })).toEqual(TimingSettings.parse({ preset: '970-pro' }));
    expect(TimingSettings.parse({ model: 'constant' })).toEqual(TimingSettings.parse({ preset: 'xpoint' }));
  });

  it('name a wrong preset with the nearest right one', () => {
    expect(booting({ preset: 'zn504' })).toThrow(
      /model\.latency\.preset has an unknown value.*"970-pro".*Try "zn540"/s,
    );
  });

  it('refuse a number that the model does not have', () => {
    expect(booting({ preset: '970-pro', jitterNs: 5 })).toThrow(
      /model\.latency\.jitterNs is not allowed.*a setting of the model 'flash': channels,/s,
    );
    expect(booting({ programNs: 5 })).toThrow(/model\.latency\.programNs.*the model 'flat': readNs,/s);
  });

  it('refuse a preset of another model', () => {
    expect(booting({ model: 'flat', preset: 'xpoint' })).toThrow(/model\.latency\.model.*constant, the model of/s);
  });

  it('refuse a geometry that does not fit together', () => {
    expect(booting({ model: 'flash', pageBytes: 6000 })).toThrow(/pageBytes.*a multiple of 4096/s);
    expect(booting({ preset: 'zn540', pagesPerBlock: 100 })).toThrow(/pagesPerBlock.*pagesPerProgram 3/s);
    expect(booting({ preset: '970-pro', writeBufferBytes: 40_000 })).toThrow(/0, or at least two shots of 32768/);
    expect(booting({ writeBufferBytes: 0 })).toThrow(/writeBufferBytes.*of at least 1/s);
  });

  it('refuse flash beyond what places can count', () => {
    expect(() => new FlashDrive({ preset: '970-pro' }, [0, 10 * 2 ** 40, 6 * 2 ** 40])).toThrow(
      /DRIVER_CONFIG_INVALID.*less than 16 TiB/s,
    );
  });

  it('boot a machine with each of the classes', () => {
    for (const preset of ['970-pro', 'zn540', 'mqsim-default', 'femu-default', 'xpoint']) {
      expect(booting({ preset })).not.toThrow();
    }
  });
});
