/**
 * Words for what goes wrong between a device and its domain: faults, stale accesses, wrong unmaps, leaks.
 *
 * The kernel prints these as IOMMU fault records and dma-debug messages; here each is a finding that says what is mapped
 * nearby, or was. Error paths only.
 * Source: Linux 6.18 kernel/dma/debug.c (check_unmap), drivers/iommu (report_iommu_fault).
 */
import { PAGE_SIZE } from '@pincushion/mm';
import { formatNs } from '@pincushion/sim';
import type { ErrorCode, FindingSite, Findings } from '@pincushion/sim';
import { IOMMU_WRITE, directionName } from './direction';
import { MappingKind } from './io-page-table';
import type { IoPageTable, MappingRecord } from './io-page-table';
import type { MappingHistory } from './mapping-history';

/** How far, in pages, a report looks for neighbours. */
const NEIGHBOURHOOD_PAGES = 4096;
/** Leaked mappings that a report lists one by one. */
const LISTED_MAX = 16;

/** What a report knows about its domain. */
export interface DomainFacts {
  readonly name: string;
  readonly table: IoPageTable;
  readonly history: MappingHistory;
  readonly findings: Findings;
  /** Null for addresses that are no bus addresses. */
  explainBusAddress(iova: number): string | null;
}

function hex(address: number): string {
  return Number.isInteger(address) && address >= 0 ? `0x${address.toString(16)}` : String(address);
}

/** `0x10000 (1 page, 4096 bytes, DMA_TO_DEVICE)`. */
function describeMapping(mapping: MappingRecord): string {
  const kind =
    mapping.kind === MappingKind.coherent ? ', coherent' : mapping.kind === MappingKind.sg ? ', scatter list' : '';
  const direction = kind === ', coherent' ? '' : `, ${directionName(mapping.direction)}`;
  return `${hex(mapping.iova)} (${countOf(mapping.pages, 'page')}, ${countOf(mapping.bytes, 'byte')}${direction}${kind})`;
}

function countOf(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}

/** The live mapping that covers `page`, or the nearest below it (`down`) or above it, within the neighbourhood. */
function neighbour(table: IoPageTable, page: number, step: 1 | -1): MappingRecord | null {
  for (let far = 0; far <= NEIGHBOURHOOD_PAGES; far++) {
    const at = page + far * step;
    if (table.headAt(at) !== 0) return table.record(at);
  }
  return null;
}

interface Surroundings {
  details: string[];
  sites: FindingSite[];
}

/** Lines about what is, or was, mapped at and around an address. */
function surroundings(facts: DomainFacts, iova: number): Surroundings {
  const details: string[] = [];
  const sites: FindingSite[] = [];
  const page = Math.floor(iova / PAGE_SIZE);
  const onBus = facts.explainBusAddress(iova);
  if (onBus !== null) return { details: [onBus], sites };
  if (!(page >= 0 && page < facts.table.coveredPages + NEIGHBOURHOOD_PAGES)) {
    details.push('the address is far outside everything that was ever mapped for the device');
    return { details, sites };
  }
  const below = neighbour(facts.table, page, -1);
  if (below !== null && page < below.page + below.pages) {
    details.push(`mapped here: ${describeMapping(below)}`);
    sites.push(...facts.history.sitesOf(below.page));
    return { details, sites };
  }
  const past = facts.history.lastWith(page);
  if (past !== null) {
    details.push(
      `was mapped until ${formatNs(past.untilNs)}: ${countOf(past.pages, 'page')} from ${hex(past.iova)} on`,
    );
    sites.push(...past.sites);
  }
  if (below !== null) {
    const end = below.iova + below.bytes;
    details.push(`nearest below: ${describeMapping(below)}, its last byte ${hex(end - 1)}`);
    if (past === null) sites.push(...facts.history.sitesOf(below.page));
  }
  const above = neighbour(facts.table, page + 1, 1);
  if (above !== null) details.push(`nearest above: ${describeMapping(above)}`);
  if (details.length === 0) details.push('nothing is mapped for the device anywhere near');
  return { details, sites };
}

/** A device accessed what is not mapped, or in a direction that is not allowed. */
export function reportFault(facts: DomainFacts, iova: number, permission: number): void {
  const { details, sites } = surroundings(facts, iova);
  const verb = permission === IOMMU_WRITE ? 'wrote to' : 'read from';
  const held = details[0].startsWith('mapped here');
  facts.findings.report({
    code: 'DMA_FAULT',
    summary: held
      ? `device ${facts.name} ${verb} IOVA ${hex(iova)}, which is mapped for the other direction only`
      : `device ${facts.name} ${verb} IOVA ${hex(iova)}, which is not mapped for it`,
    device: facts.name,
    sites,
    details,
  });
}

/** A device used an entry that is unmapped and not yet flushed. */
export function reportStale(facts: DomainFacts, iova: number, permission: number): void {
  const past = facts.history.lastWith(Math.floor(iova / PAGE_SIZE));
  facts.findings.report({
    code: 'DMA_STALE_ACCESS',
    summary: `device ${facts.name} ${permission === IOMMU_WRITE ? 'wrote to' : 'read from'} IOVA ${hex(iova)} through an entry that is unmapped and not yet flushed`,
    device: facts.name,
    sites: past === null ? [] : past.sites,
    details: past === null ? [] : [`was mapped until ${formatNs(past.untilNs)}`],
  });
}

/** An unmap that does not match what was mapped. `site` names the unmapping call when sites are taken. */
export function reportUnmap(
  facts: DomainFacts,
  code: ErrorCode,
  iova: number,
  wrong: string,
  mapping: MappingRecord | null,
  site: readonly FindingSite[],
): void {
  const around = mapping === null ? surroundings(facts, iova) : { details: [], sites: [] };
  facts.findings.report({
    code,
    summary: `driver of device ${facts.name} unmapped IOVA ${hex(iova)} ${wrong}`,
    device: facts.name,
    sites: [...(mapping === null ? around.sites : facts.history.sitesOf(mapping.page)), ...site],
    details: mapping === null ? around.details : [`mapped: ${describeMapping(mapping)}`],
  });
}

/** Mappings that are left when the device goes. */
export function reportLeaks(facts: DomainFacts, left: readonly MappingRecord[]): void {
  const pages = left.reduce((sum, mapping) => sum + mapping.pages, 0);
  const listed = left.slice(0, LISTED_MAX);
  const details = listed.map(describeMapping);
  if (left.length > listed.length) details.push(`and ${left.length - listed.length} more`);
  facts.findings.report({
    code: 'DMA_MAPPING_LEAK',
    summary: `device ${facts.name} went with ${countOf(left.length, 'DMA mapping')} (${countOf(pages, 'page')}) still alive`,
    device: facts.name,
    sites: listed.flatMap((mapping) => facts.history.sitesOf(mapping.page)),
    details,
  });
}
