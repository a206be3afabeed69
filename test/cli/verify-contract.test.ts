/** `pincushion verify --contract`: the way back to C, read from what drivers do and from nothing else. */
import { NvmeController, NvmeDriver, plugin as nvme } from '@pincushion/nvme-p2p';
import type { ContractRow } from '@pincushion/testing';
import { driverContract } from '@pincushion/testing';
import { pincushion } from './pincushion';

const ECHO_NIC = `
undisturbed: probe, the example program, removal
   #  context  the driver calls                                   in Linux                        gives, owes
      task     probe:                                             pci_driver.probe
   1  task       work.timer('watchdog', fire)                     timer_setup                     a timer; owes timer_shutdown_sync, #23
   2  task       interrupts.request(0, 'transfer done', handler)  request_irq                     the handler may run from now on; owes free_irq, #22
   3  task       chars.register('echo0', operations)              cdev_device_add                 programs may open it from now on; owes cdev_device_del, #21
      task     ioctl:                                             file_operations.unlocked_ioctl
   4  task       gup.pinRange(range, FOLL_WRITE | FOLL_LONGTERM)  pin_user_pages_fast             pages that stay where they are; owes unpin_user_pages_dirty_lock, #18
   5  task       dma.mapRange(pinned, bidirectional)              dma_map_sgtable                 a bus address; owes dma_unmap_sgtable, #17
               6 to 15: 2 times
      task     ioctl:                                             file_operations.unlocked_ioctl
   6  task       this.idle()                                      wait_event
   7  task       this.track('echo transfer')                      init_completion
   8  task       registers.write64lohi(0x00, value)               lo_hi_writeq
   9  task       registers.write32(0x08, value)                   writel
  10  task       timer.start(ns)                                  mod_timer
  11  task       registers.write32(0x0c, value)                   writel
  12  task       transfer.ended()                                 wait_for_completion
      hardirq  interrupt 0 'transfer done':                       irq_handler_t
  13  hardirq    timer.cancel()                                   timer_delete
  14  hardirq    registers.read32(0x10)                           readl
  15  hardirq    transfer.done(result)                            complete
      task     release:                                           file_operations.release
  16  task       this.idle()                                      wait_event
  17  task       mapping.release()                                dma_unmap_sgtable               gives back #5
  18  task       pinned.release()                                 unpin_user_pages_dirty_lock     gives back #4
      task     remove:                                            pci_driver.remove
  19  task       registers.write32(0x0c, value)                   writel
  20  task       this.idle()                                      wait_event
      task     what the device owns, newest first:                devres_release_all
  21  task       node.release()                                   cdev_device_del                 gives back #3
  22  task       interrupt.release()                              free_irq                        gives back #2
  23  task       timer.release()                                  timer_shutdown_sync             gives back #1
`;

const WHEN_PROBE_FAILS = `
refused: as undisturbed up to row 2; then cdev_device_add fails
  #  context  the driver calls                       in Linux             gives, owes
  3  task       chars.register('echo0', operations)  cdev_device_add      fails, by an exception
     task     what the device owns, newest first:    devres_release_all
  4  task       interrupt.release()                  free_irq             gives back #2
  5  task       timer.release()                      timer_shutdown_sync  gives back #1
`;

const WHEN_THE_MAPPING_FAILS = `
refused: as undisturbed up to row 4; then dma_map_sgtable fails
   #  context  the driver calls                       in Linux                     gives, owes
   5  task       dma.mapRange(pinned, bidirectional)  dma_map_sgtable              fails: -ENOMEM
   6  task       pinned.release()                     unpin_user_pages_dirty_lock  gives back #4
`;

const WHEN_PULLED_OUT = `
pulled out: as undisturbed up to row 12; then
   #  context  the driver calls                     in Linux                     gives, owes
      task     remove:                              pci_driver.remove
  13  task       registers.write32(0x0c, value)     writel
  14  task       transfer.done(result)              complete
  15  task       this.idle()                        wait_event
      task     what the device owns, newest first:  devres_release_all
  16  task       mapping.release()                  dma_unmap_sgtable            gives back #5
  17  task       pinned.release()                   unpin_user_pages_dirty_lock  gives back #4
  18  task       node.release()                     cdev_device_del              gives back #3
  19  task       interrupt.release()                free_irq                     gives back #2
  20  task       timer.release()                    timer_shutdown_sync          gives back #1
`;

/** What the NVMe driver calls in each of its entry points, but for registers and the bring-up of the controller. */
const NVME = `
ioctl               pin_user_pages_fast dma_map_sgtable [irq] dma_unmap_sgtable unpin_user_pages_dirty_lock
queueRq             dma_map_sgtable
interrupt 1         dma_unmap_sgtable blk_mq_end_request
queueRq
interrupt 1         blk_mq_end_request
queueRq             dma_map_sgtable
interrupt 1         dma_unmap_sgtable blk_mq_end_request
remove              mod_timer [irq] [irq] [irq] [irq] timer_delete wait_event
`;

function withoutRepeats(rows: readonly ContractRow[]): readonly Exclude<ContractRow, { kind: 'repeat' }>[] {
  return rows.flatMap((row) =>
    row.kind === 'repeat' ? Array.from({ length: row.times }, () => row.rows).flat() : [row],
  );
}

/** One line an entry point: the C functions that were called there. What goes on after an interrupt goes on in its line. */
function byEntry(rows: readonly ContractRow[]): readonly string[] {
  const lines: string[][] = [];
  let line: string[] = [];
  for (const row of withoutRepeats(rows)) {
    if (row.kind === 'call') {
      if (!/^(?:readl|writel|lo_hi_\w+|init_completion|complete)$/.test(row.linux)) line.push(row.linux);
    } else if (row.name.startsWith("interrupt 0 'admin'")) {
      line.push('[irq]');
    } else if (!row.again) {
      const name = row.linux === 'devres_release_all' ? row.linux : row.name.replace(/ '.*'/, '');
      line = [name.padEnd(19)];
      lines.push(line);
    }
  }
  return lines.map((words) => words.join(' ').trimEnd());
}

describe('pincushion verify --contract', () => {
  it('shows what the echo NIC driver owes the kernel, undisturbed and where something fails', async () => {
    const { code, out } = await pincushion(['verify', 'examples/echo-nic', '--contract', '--limit', '20']);
    expect(out.slice(0, out.indexOf('\n\nrefused'))).toBe(
      `echo-nic: what the kernel sees of it\n${ECHO_NIC.trimEnd()}`,
    );
    expect(out).toContain(WHEN_PROBE_FAILS);
    expect(out).toContain(WHEN_THE_MAPPING_FAILS);
    expect(out).toContain(WHEN_PULLED_OUT);
    expect(code).toBe(0);
  }, 60_000);

  it('shows the pins and mappings of the NVMe driver, and gives all of them back', () => {
    const { example } = nvme;
    if (example === undefined) throw new Error('the plugin has no example');
    const { paths, problems } = driverContract(NvmeDriver, { hardware: NvmeController, example, limit: 1 });
    expect(problems).toEqual([]);
    const [{ kind, rows }] = paths;
    expect(kind).toBe('undisturbed');
    const lines = byEntry(rows);
    const from = lines.findIndex((line) => line.startsWith('ioctl'));
    expect(lines.slice(from, -1).join('\n')).toBe(NVME.trim());
    expect(lines[lines.length - 1]).toMatch(/^devres_release_all +cdev_device_del del_gendisk free_irq /);
    const owing = withoutRepeats(rows).filter(
      (row) => row.kind === 'call' && row.owes !== '' && row.returnedIn === null,
    );
    expect(owing).toEqual([]);
    expect(lines[0]).toContain('INIT_WORK timer_setup dma_alloc_coherent dma_alloc_coherent request_irq');
  });
});
