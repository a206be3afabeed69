/**
 * Act: a driver with a planted bug. The echo NIC's driver gives a buffer back while the hardware still writes to it: on a
 * real machine nothing fails, and somebody else's page changes one day. Here the ledger knows who pinned, mapped, unpinned
 * and wrote, when, and from which line.
 */
import { Machine, parseMachine } from '@pincushion/machine';
import type { Finding, Task } from '@pincushion/sim';
import { errnoName, PincushionError, World } from '@pincushion/sim';
import type { Terminal } from '../terminal';
import type { Act } from './act';
import type { EchoNicExample } from './echo-nic-example';
import { expectDone, loadEchoNic } from './echo-nic-example';

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const BUFFER_BYTES = 8192;
const PACKET_BYTES = 4096;
/** In the middle of a packet that takes 4 µs. */
const HASTE_NS = 1_500;
/** The findings that make the point; what follows from them is left out. */
const SHOWN = new Set(['UNPINNED_WHILE_MAPPED', 'DMA_AFTER_UNPIN']);

export const caughtRedHanded: Act = {
  name: 'caught-red-handed',
  title: 'A driver unpins a buffer that its device still writes to',
  run(stage) {
    const findings = misbehave(loadEchoNic());
    for (const code of SHOWN) {
      if (!findings.some((finding) => finding.code === code)) {
        throw new PincushionError('INTERNAL', `the planted bug was not caught: no ${code}`);
      }
    }
    stage.out(
      '  A program registers a buffer with /dev/echo0, lets the NIC receive into it, and deregisters too early.\n',
    );
    stage.out('  The driver should wait for the hardware. It does not:\n');
    for (const finding of findings) if (SHOWN.has(finding.code)) showFinding(finding, stage);
    return Promise.resolve();
  },
};

function misbehave({ buggyPlugin, EchoSocket }: EchoNicExample): readonly Finding[] {
  const world = new World();
  const description = parseMachine(
    { memory: { ram: '64MiB' }, cpus: 2, ledger: 'full', devices: [{ name: 'nic0', plugin: buggyPlugin.name }] },
    'act',
  );
  const machine = world.complete(Machine.boot(world, description, { plugins: [buggyPlugin] }), 'boot');
  const program = machine.process('hasty');
  world.complete(
    (function* (): Task {
      yield* world.sleep(1_000);
      const area = program.mmap(BUFFER_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS);
      const address = typeof area === 'number' ? area : yield* area;
      const socket = yield* EchoSocket.open(program);
      if (typeof socket === 'number') throw new PincushionError('INTERNAL', `open: ${errnoName(socket)}`);
      yield* expectDone('register', socket.register(address, BUFFER_BYTES));
      yield* expectDone('send', socket.send(0, PACKET_BYTES));
      const receiving = world.spawn(socket.receive(PACKET_BYTES, PACKET_BYTES), { name: 'receive' });
      yield* world.sleep(HASTE_NS);
      yield* expectDone('deregister', socket.deregister());
      yield* receiving.join();
    })(),
    'hasty',
  );
  world.complete(machine.shutdown(), 'shutdown');
  return world.findings.all;
}

/** A finding as a small timeline: when, what, where in the code. */
function showFinding(finding: Finding, stage: Terminal): void {
  const { bold, dim, red, yellow, cyan } = stage.colours;
  stage.out(`\n  ${bold(red(finding.code))}  ${finding.summary}\n`);
  const sites = [...finding.sites].sort((a, b) => a.atNs - b.atNs);
  const width = Math.max(...sites.map(({ what }) => what.length));
  sites.forEach(({ what, site, atNs }, i) => {
    const last = i === sites.length - 1;
    const mark = last ? red('●') : yellow('○');
    stage.out(
      `    ${dim(`${atNs.toLocaleString('en')} ns`.padStart(10))}  ${mark} ${(last ? bold : String)(what.padEnd(width))}  ${cyan(site)}\n`,
    );
  });
}
