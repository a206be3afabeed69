/**
 * The log pages: error information (empty), SMART, firmware slots, changed namespaces (none), command effects.
 * Source: NVM Express Base Specification 1.4, section 5.14.1.
 */
import { AdminOpcode, LogPage, NvmOpcode } from '../spec/opcodes';
import { number } from './identify';

/** The drive's temperature, kelvin: 50 degrees Celsius. */
const TEMPERATURE_K = 323;
const SUPPORTED = 1;
/** The command may change content of blocks. */
const CHANGES_CONTENT = 1 << 1;

/** What the SMART log counts. */
export type SmartCounters = Float64Array;
/** What its elements count. Doubles from the start: the bytes pass 2^31 after a second of reading. */
export const SmartCount = { bytesRead: 0, bytesWritten: 1, readCommands: 2, writeCommands: 3 } as const;

/** The whole log page, or null when there is no such log. */
export function logPage(id: number, smart: SmartCounters): Uint8Array | null {
  switch (id) {
    case LogPage.errorInformation:
      return new Uint8Array(64);
    case LogPage.smart:
      return smartLog(smart);
    case LogPage.firmwareSlots:
      return firmwareLog();
    case LogPage.changedNamespaces:
      return new Uint8Array(4096);
    case LogPage.commandEffects:
      return effectsLog();
    default:
      return null;
  }
}

function smartLog(smart: SmartCounters): Uint8Array {
  const page = new Uint8Array(512);
  number(page, 1, TEMPERATURE_K, 2);
  page[3] = 100; // available spare, per cent
  page[4] = 10; // its threshold
  // Data units are thousands of 512 bytes, rounded up.
  number(page, 32, Math.ceil(smart[SmartCount.bytesRead] / 512_000), 8);
  number(page, 48, Math.ceil(smart[SmartCount.bytesWritten] / 512_000), 8);
  number(page, 64, smart[SmartCount.readCommands], 8);
  number(page, 80, smart[SmartCount.writeCommands], 8);
  return page;
}

function firmwareLog(): Uint8Array {
  const page = new Uint8Array(512);
  page[0] = 1;
  for (let i = 0; i < 8; i++) page[8 + i] = '1.0     '.charCodeAt(i);
  return page;
}

function effectsLog(): Uint8Array {
  const page = new Uint8Array(4096);
  for (const opcode of Object.values(AdminOpcode)) page[4 * opcode] = SUPPORTED;
  for (const opcode of Object.values(NvmOpcode)) page[1024 + 4 * opcode] = SUPPORTED;
  for (const opcode of [NvmOpcode.write, NvmOpcode.writeZeroes, NvmOpcode.datasetManagement]) {
    page[1024 + 4 * opcode] |= CHANGES_CONTENT;
  }
  return page;
}
