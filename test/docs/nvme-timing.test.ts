import { TimingSettings } from '@pincushion/nvme-p2p';
import { parseSize } from '@pincushion/sim';
import { readDocument, section, tableRows } from './documents';

const timing = section(readDocument('docs/reference/nvme.md'), 'Timing');

const bare = (cell: string): string => cell.replaceAll('`', '');

/** What stands in a cell, as the value that it stands for. */
function meaning(cell: string): number | boolean | null {
  const word = bare(cell);
  return ['true', 'false'].includes(word) ? word === 'true' : parseSize(word);
}

/** The settings of a preset as the table has them whose columns after the name are of these presets. */
function settingsOf(preset: string, columns: readonly string[]): Record<string, number | boolean | null> {
  const rows = tableRows(timing).filter((row) => row.length === columns.length + 2 && row[0] !== 'preset');
  return Object.fromEntries(rows.map((row) => [bare(row[0]), meaning(row[columns.indexOf(preset) + 1])]));
}

const FLASH = ['970-pro', 'zn540', 'mqsim-default', 'femu-default'];

describe('docs/reference/nvme.md, Timing', () => {
  it.each(FLASH)('has every number of the preset %s', (preset) => {
    expect({ model: 'flash', ...settingsOf(preset, FLASH) }).toEqual(TimingSettings.parse({ preset }));
  });

  it('has every number of the preset xpoint', () => {
    const rows = tableRows(section(readDocument('docs/reference/nvme.md'), 'The constant model'));
    const numbers = Object.fromEntries(rows.map(([name, value]) => [bare(name), meaning(value)]));
    expect({ model: 'constant', ...numbers }).toEqual(TimingSettings.parse({ preset: 'xpoint' }));
  });

  it('has every preset, with its model', () => {
    const rows = tableRows(timing).filter((row) => row.length === 3 && /^`(flat|flash|constant)`$/.test(row[1]));
    const models = new Map(rows.map(([preset, model]) => [bare(preset), bare(model)]));
    expect(models.get('none')).toBe(TimingSettings.parse({}).model);
    models.delete('none');
    for (const [preset, model] of models)
      expect([preset, TimingSettings.parse({ preset }).model]).toEqual([preset, model]);
    const [issue] = TimingSettings.safeParse({ preset: 'floppy' }).error?.issues ?? [];
    expect(issue).toMatchObject({ path: ['preset'], values: [...models.keys()] });
  });
});
