import { FAULT_SITES, FaultPlan } from '@pincushion/sim';
import { inlineCode, readDocument, section, tableRows } from './documents';

const manual = readDocument('docs/reference/faults.md');
const bare = (cell: string): string => cell.replaceAll('`', '');

describe('docs/reference/faults.md', () => {
  it('has a row for each site, with what is counted there and what happens when nothing is said', () => {
    const rows = tableRows(section(manual, 'Sites'));
    expect(rows.map(([name, counts]) => [bare(name), counts])).toEqual(
      FAULT_SITES.map(({ name, counts }) => [name, counts]),
    );
    for (const [name, , , usual] of rows.filter(([site]) => bare(site) !== 'device')) {
      expect(FaultPlan.parse(bare(name)).toString()).toBe(`${bare(name)}@1=${bare(usual)}`);
    }
  });

  it('names for each site exactly the effects it takes', () => {
    const words = {
      errno: 'an error',
      short: 'a number of pages',
      delay: 'delay:TIME',
      late: 'late:TIME',
      partial: 'partial:SECTORS',
      torn: 'torn:SECTORS',
      misdirected: 'misdirected:SECTORS',
    } as const;
    for (const [name, , effects] of tableRows(section(manual, 'Sites'))) {
      const kinds = FAULT_SITES.find((site) => site.name === bare(name))?.kinds ?? [];
      const documented = effects.split(', ').map((effect) => effect.replace(/ such as .*/, ''));
      expect([name, documented]).toEqual([
        name,
        kinds.map((kind) => Object.entries({ ...words }).find(([k]) => k === kind)?.[1] ?? kind),
      ]);
    }
  });

  it('shows plans that can be read', () => {
    const plans = inlineCode(manual.prose).filter((text) => /^[a-z.]+(\[[\d.]+\])?\d*@/.test(text));
    expect(plans.length).toBeGreaterThan(1);
    for (const plan of plans) expect(() => FaultPlan.parse(plan)).not.toThrow();
  });
});
