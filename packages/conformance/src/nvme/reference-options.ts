/**
 * The reference's options as settings of our controller.
 *
 * What the reference cannot do is switched off here, so that the two are alike: it keeps no error log beyond one entry, and has no
 * interrupt coalescing, no Write Uncorrectable and no attachment of namespaces. A failing sector is one rule of the reference's fault injector: event, sector, errno.
 */
import { invalid } from '../recording';
import type { RecordedNamespace, Transcript } from './transcript';

const MIB = 1024 * 1024;
/** Bytes of a sector in the fault injector's rules. */
const SECTOR_BYTES = 512;

/** By option of the reference: a setting of the controller, and what its value is there. */
const CONTROLLER_OPTIONS: Readonly<Record<string, (text: string) => Readonly<Record<string, unknown>>>> = {
  serial: (text) => ({ serial: text }),
  max_ioqpairs: (text) => ({ queuePairs: Number(text) }),
  msix_qsize: (text) => ({ vectors: Number(text) }),
  mdts: (text) => ({ mdts: Number(text) }),
  vsl: (text) => ({ vsl: Number(text) }),
  aerl: (text) => ({ aerl: Number(text) }),
  cmb_size_mb: (text) => ({ cmb: Number(text) * MIB }),
};

const NAMESPACE_OPTIONS: Readonly<Record<string, (text: string) => Readonly<Record<string, unknown>>>> = {
  mssrl: (text) => ({ copyRangeBlocksMax: Number(text) }),
  mcl: (text) => ({ copyBlocksMax: Number(text) }),
  msrc: (text) => ({ copyRangesMax: Number(text) + 1 }),
  detached: (text) => ({ attached: text !== 'on' }),
};

/** Settings of the controller; the two that say how much memory it has are known by name. */
export type ModelLike = Readonly<Record<string, unknown>> & { readonly cmb: number; readonly pmr: number };

/** The `model` of a device that is like the reference was. Throws `UsageError` RECORDING_INVALID for an unknown option. */
export function modelLike({ file, options, namespaces, pmrMiB }: Transcript): ModelLike {
  return {
    cmb: 0,
    pmr: pmrMiB * MIB,
    ...optionsOf(options, CONTROLLER_OPTIONS, `${file}: device.options`),
    namespaces: namespaces.map((namespace) => namespaceLike(namespace, file)),
    errorLogEntries: 1,
    coalescing: false,
    writeUncorrectable: false,
    namespaceManagement: false,
    shadowDoorbells: true,
  };
}

function namespaceLike(namespace: RecordedNamespace, file: string): Readonly<Record<string, unknown>> {
  const { nsid, lbs, size_mib, blkdebug = '', extra = '' } = namespace;
  return {
    nsid,
    blockBytes: lbs,
    capacity: size_mib * MIB,
    badBlocks: badBlocksOf(blkdebug, lbs),
    ...optionsOf(extra, NAMESPACE_OPTIONS, `${file}: namespace ${nsid}`),
  };
}

function optionsOf(
  text: string,
  known: Readonly<Record<string, (text: string) => Readonly<Record<string, unknown>>>>,
  where: string,
): Readonly<Record<string, unknown>> {
  const settings: Record<string, unknown> = {};
  for (const option of text.split(',').filter((each) => each !== '')) {
    const [name, value = ''] = option.split('=');
    const setting = known[name] as ((text: string) => Readonly<Record<string, unknown>>) | undefined;
    if (setting === undefined) {
      throw invalid(where, `the reference's option "${name}" has no counterpart here`, {
        expected: Object.keys(known).join(', '),
      });
    }
    Object.assign(settings, setting(value));
  }
  return settings;
}

/** Rules `event = "read_aio"`, `sector = "64"`; rules without a sector or for other events are none. */
function badBlocksOf(rules: string, blockBytes: number): readonly { first: number; blocks: number; fails: string }[] {
  const bad: { first: number; blocks: number; fails: string }[] = [];
  for (const rule of rules.split('[inject-error]').slice(1)) {
    const [, event = ''] = /event = "(read|write)_aio"/.exec(rule) ?? [];
    const [, sector = ''] = /sector = "(\d+)"/.exec(rule) ?? [];
    if (event === '' || sector === '') continue;
    bad.push({ first: Math.floor((Number(sector) * SECTOR_BYTES) / blockBytes), blocks: 1, fails: event });
  }
  return bad;
}
