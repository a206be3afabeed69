/** The record of a driver's kernel calls, and how it is told. */
import { driverContract } from '@pincushion/testing';
import { DiskDriver, diskExample } from './planted/disk-bugs';
import { KeepsItsInterruptWhenProbeFails } from './planted/lifetime-bugs';
import { NeverUnpins } from './planted/memory-bugs';
import { Port, PortHardware, portExample } from './planted/port';
import type { CallRow, ContractRow } from '@pincushion/testing';

const hardware = PortHardware;

function calls(rows: readonly ContractRow[]): readonly CallRow[] {
  return rows.flatMap((row) => (row.kind === 'repeat' ? calls(row.rows) : row.kind === 'call' ? [row] : []));
}

function words(rows: readonly ContractRow[]): readonly string[] {
  return calls(rows).map(({ linux, refused }) => (refused === '' ? linux : `${linux} ${refused}`));
}

describe('the contract of a driver', () => {
  const { driver, paths, problems } = driverContract(Port, { hardware, example: portExample, limit: 12 });
  const [undisturbed, ...others] = paths;

  it('begins with its undisturbed life, in which everything is given back in the right order', () => {
    expect([driver, undisturbed.kind, problems]).toEqual(['port', 'undisturbed', []]);
    const owing = calls(undisturbed.rows).filter(({ owes }) => owes !== '');
    expect(owing.map(({ linux, returnedIn }) => [linux, returnedIn === null])).toEqual([
      ['dma_alloc_coherent', false],
      ['dma_alloc_coherent', false],
      ['timer_setup', false],
      ['request_irq', false],
      ['cdev_device_add', false],
      ['pin_user_pages_fast', false],
      ['dma_map_sgtable', false],
    ]);
    const [pin, map] = owing.slice(-2);
    expect(map.returnedIn).toBe((pin.returnedIn ?? 0) - 1);
  });

  it('tells each call that can be refused, with what is given back then', () => {
    const refused = others.filter(({ kind }) => kind === 'refused');
    expect(refused.map(({ rows }) => words(rows).slice(0, 3))).toEqual([
      ['dma_alloc_coherent null'],
      ['dma_alloc_coherent null', 'dma_free_coherent'],
      ['request_irq throws', 'timer_shutdown_sync', 'dma_free_coherent'],
      ['cdev_device_add throws', 'free_irq', 'timer_shutdown_sync'],
      ['pin_user_pages_fast -ENOMEM', 'wait_event', 'writel'],
      ['dma_map_sgtable -ENOMEM', 'unpin_user_pages_dirty_lock', 'wait_event'],
    ]);
  });

  it('tells places that go on in the same way once, with the rows after which they do', () => {
    const unplugged = others.filter(({ kind }) => kind === 'unplugged');
    const told = unplugged.map(({ rows }) => words(rows).join(' '));
    expect(new Set(told).size).toBe(told.length);
    for (const { after, rows } of others) {
      const [first] = calls(rows);
      expect(first.n).toBe(after[0] + 1);
    }
  });

  it('says in which context a call was made, and from which entry point', () => {
    const irq = undisturbed.rows.flatMap((row) => (row.kind === 'repeat' ? row.rows : [row]));
    const at = irq.findIndex((row) => row.kind === 'entry' && row.linux === 'irq_handler_t');
    expect(irq[at]).toMatchObject({ context: 'hardirq', name: "interrupt 0 'done'", again: false });
    expect(irq[at + 1]).toMatchObject({ context: 'hardirq', call: 'timer.cancel()', linux: 'timer_delete' });
  });

  it('has the bios of a disk', () => {
    const contract = driverContract(DiskDriver, { hardware, example: diskExample, limit: 1 });
    const [{ rows }] = contract.paths;
    const linux = rows.flatMap((row) => (row.kind === 'repeat' ? row.rows : [row])).map((row) => row.linux);
    const from = linux.indexOf('block_device_operations.submit_bio');
    expect(linux.slice(from, from + 6)).toEqual([
      'block_device_operations.submit_bio',
      'dma_map_sgtable',
      'lo_hi_writeq',
      'writel',
      'mod_timer',
      'writel',
    ]);
    expect(linux.slice(from)).toContain('bio_endio');
  });

  it('shows what is never given back, and that the driver has a problem', () => {
    const leaky = driverContract(NeverUnpins, { hardware, example: portExample, limit: 1 });
    const pin = calls(leaky.paths[0].rows).find(({ linux }) => linux === 'pin_user_pages_fast');
    expect(pin).toMatchObject({ owes: 'unpin_user_pages_dirty_lock', returnedIn: null });
    expect(leaky.problems).toEqual(['PIN_LEAK']);
    const inProbe = driverContract(KeepsItsInterruptWhenProbeFails, { hardware, limit: 4 });
    expect(inProbe.problems).toEqual(['DEVICE_INTERRUPT_LEAK']);
  });

  it('is the same each time', () => {
    const again = driverContract(Port, { hardware, example: portExample, limit: 12 });
    expect(again.paths).toEqual(paths);
  });
});
