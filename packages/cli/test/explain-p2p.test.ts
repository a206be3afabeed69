/** `explain p2p`: the way from a device to memory of another, or why there is none. */
import { join } from 'node:path';
import { processTerminal, runCommandLine } from '@pincushion/cli';

const MACHINE = join(__dirname, '../../../examples/p2p-copy/machine.yaml');

async function explain(
  ...words: string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const said = { out: '', err: '' };
  const code = await runCommandLine(['explain', 'p2p', ...words, '--machine', MACHINE], {
    ...processTerminal(),
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
  });
  return { code, ...said };
}

describe('explain p2p', () => {
  it('prints the route below a switch, the steps, and the bridge that allows it', async () => {
    const { code, out } = await explain('nvme1', 'nvme0');
    expect(code).toBe(0);
    expect(out).toContain('nvme0 reaches memory of nvme1: by its bus address\n');
    expect(out).toContain('nvme0 — sw0p0 — sw0 — sw0p1 — nvme1\n');
    expect(out).toMatch(/hops +4\n +rule +common-bridge: sw0 is above both/);
  });

  it('goes up to the host bridge and back where ACS redirects, and says which port does', async () => {
    const { code, out } = await explain('nvme1', 'nvme2');
    expect(code).toBe(0);
    expect(out).toContain('nvme2 — sw0p2 (ACS) — sw0 — rp0 — rc0 — rp0 — sw0 — sw0p1 — nvme1\n');
    expect(out).toMatch(/rule +allow-list: ACS of sw0p2 [^]*advice +no acs at sw0p2/);
  });

  it('names the host bridge that is in no list, and ends with 1', async () => {
    const { code, out } = await explain('nvme1', 'nvme3');
    expect(code).toBe(1);
    expect(out).toMatch(/not at all\n +route +nvme3 — rp1 — rc1 — rc0 — rp0 — sw0 — sw0p1 — nvme1\n/);
    expect(out).toMatch(/host-bridge-unknown: .*rc1 \(1234:5678\)[^]*-EREMOTEIO/);
  });

  it('knows that a device reaches itself', async () => {
    expect((await explain('nvme1', 'nvme1')).out).toMatch(/route +nvme1\n +hops +0\n/);
  });

  it('suggests the nearest device for one that is not there', async () => {
    const { code, err } = await explain('nvme1', 'nvm0');
    expect(code).toBe(2);
    expect(err).toMatch(/DEVICE_UNKNOWN: .*there is no device nvm0.*Try nvme0/);
  });

  it('is a document with --json', async () => {
    const { out } = await explain('nvme1', 'nvme3', '--json');
    expect(JSON.parse(out)).toMatchObject({
      schemaVersion: 1,
      provider: 'nvme1',
      client: 'nvme3',
      mapType: 'not-supported',
      rule: 'host-bridge-unknown',
      hops: 6,
    });
  });
});
