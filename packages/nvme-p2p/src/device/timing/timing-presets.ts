/**
 * Classes of drives: all numbers of a timing model each. docs/reference/nvme.md has them as a table.
 * Sources: public figures of the drives, and the defaults of the emulators they are named after. Where none is published
 * (erase times and block sizes of the first two, firmware of MQSim), a usual value stands.
 */
import type { ConstantSettings, FlashSettings, FlatSettings, TimingSettings } from './timing-settings';

const FLAT: FlatSettings = Object.freeze({
  model: 'flat',
  readNs: 25_000,
  flashReadNs: 37_000,
  units: 16,
  writeNs: 10_000,
  writeBufferBytes: 64 * 1024 * 1024,
  programMBps: 2_600,
  linkMBps: 3_300,
  flushNs: 150_000,
  trimNs: 20_000,
  adminNs: 20_000,
  jitterNs: 2_000,
});

/** MLC consumer drive. Erase time and block size are usual ones of such flash. */
const SAMSUNG_970_PRO: FlashSettings = Object.freeze({
  model: 'flash',
  channels: 8,
  diesPerChannel: 2,
  planesPerDie: 1,
  pageBytes: 32 * 1024,
  pagesPerProgram: 1,
  pagesPerBlock: 256,
  readLsbNs: 29_800,
  readMsbNs: 41_800,
  programNs: 185_000,
  eraseNs: 3_500_000,
  cacheReads: true,
  channelMBps: 800,
  linkMBps: 3_360,
  firmwareReadSmallNs: 21_500,
  firmwareReadNs: 30_500,
  firmwareWriteNs: 4_000,
  firmwareWriteUnitNs: 460,
  writeBufferBytes: 1024 * 1024,
  sparePercent: 7,
  gcFreeLines: 5,
  preconditioned: false,
  trimNs: 20_000,
  adminNs: 20_000,
});

export const PRESETS = Object.freeze({
  '970-pro': SAMSUNG_970_PRO,
  /** TLC drive of the data centre; its zones are not modelled, it is timed as a conventional drive. */
  zn540: {
    ...SAMSUNG_970_PRO,
    diesPerChannel: 4,
    pagesPerProgram: 3,
    pagesPerBlock: 192,
    readLsbNs: 50_000,
    readMsbNs: 50_000,
    programNs: 561_000,
    channelMBps: 450,
    linkMBps: 3_050,
    firmwareReadSmallNs: 20_000,
    firmwareReadNs: 13_000,
    firmwareWriteNs: 5_600,
    firmwareWriteUnitNs: 600,
    writeBufferBytes: 6 * 1024 * 1024,
  },
  /** Four chips of two dies on a channel, no cache register; four PCIe lanes. */
  'mqsim-default': {
    ...SAMSUNG_970_PRO,
    diesPerChannel: 8,
    planesPerDie: 2,
    pageBytes: 8 * 1024,
    readLsbNs: 75_000,
    readMsbNs: 75_000,
    programNs: 750_000,
    eraseNs: 3_800_000,
    cacheReads: false,
    channelMBps: 300,
    linkMBps: 4_000,
    firmwareReadSmallNs: 500,
    firmwareReadNs: 500,
    firmwareWriteNs: 1_000,
    firmwareWriteUnitNs: 250,
    writeBufferBytes: 256 * 1024 * 1024,
    sparePercent: 13,
  },
  /** No write buffer; channel, link and firmware take no time. */
  'femu-default': {
    ...SAMSUNG_970_PRO,
    diesPerChannel: 8,
    pageBytes: 4 * 1024,
    readLsbNs: 40_000,
    readMsbNs: 40_000,
    programNs: 200_000,
    eraseNs: 2_000_000,
    cacheReads: false,
    channelMBps: 0,
    linkMBps: 0,
    firmwareReadSmallNs: 0,
    firmwareReadNs: 0,
    firmwareWriteNs: 0,
    firmwareWriteUnitNs: 0,
    writeBufferBytes: 0,
    sparePercent: 33,
  },
  /** Memory that is written in place. */
  xpoint: {
    model: 'constant',
    latencyNs: 10_000,
    commandsPerSecond: 550_000,
    linkMBps: 2_400,
    trimNs: 10_000,
    adminNs: 20_000,
  },
} satisfies Record<string, FlashSettings | ConstantSettings>);

type PresetName = keyof typeof PRESETS;

export const PRESET_NAMES = Object.freeze(Object.keys(PRESETS) as [PresetName, ...PresetName[]]);

/** What a model has when no preset is given. */
export const MODEL_DEFAULTS: Readonly<Record<TimingSettings['model'], TimingSettings>> = Object.freeze({
  flat: FLAT,
  flash: SAMSUNG_970_PRO,
  constant: PRESETS.xpoint,
});
