/** `pincushion serve`: programs of the host use the devices of an emulated machine. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { FaultPlan, UsageError, formatBytes } from '@pincushion/sim';
import { ExitCode } from '../exit-codes';
import { Interruption } from '../interruption';
import type { Invocation } from '../invocation';
import { describeMachine } from '../machine-file';
import { wholeNumber } from '../option-values';
import { ControlConnection } from '../serve/control-connection';
import type { Address } from '../serve/listener';
import { NbdConnection } from '../serve/nbd/nbd-connection';
import { exportsOf } from '../serve/nbd/exports';
import { Serving } from '../serve/serving';
import { ShimConnection } from '../serve/shim-connection';

interface ServeOptions {
  readonly machine?: string;
  readonly seed: number;
  readonly fault?: string;
  readonly record?: string;
  readonly control?: string;
}

interface NvmeOptions extends ServeOptions {
  readonly socket: string;
  readonly device?: string;
}

interface NbdOptions extends ServeOptions {
  readonly port: number;
  readonly socket?: string;
  readonly export?: string;
}

export function serveCommand(program: Command, invocation: Invocation): void {
  const serve = program
    .command('serve')
    .summary('let programs of the host use emulated devices')
    .description('Boots a machine, and lets tools of the host drive its devices, until Ctrl-C.');
  addCommonOptions(
    serve
      .command('nvme')
      .summary('serve a controller to NVMe tools')
      .description(
        'Commands of nvme-cli, and of other tools that send ioctls, go to an NVMe controller of the machine. The tools need the ' +
          'preload library of the manual (docs/reference/serve.md).',
      )
      .requiredOption('--socket <path>', 'socket that the preload library connects to')
      .option('--device <name>', 'name of the controller (default: the first device)'),
  ).action(async (options: NvmeOptions) => {
    await serveNvme(options, invocation);
  });
  addCommonOptions(
    serve
      .command('nbd')
      .summary('serve disks to NBD clients')
      .description('Clients of NBD (nbdcopy, qemu-io, fio, the kernel) read and write the disks of the machine.')
      .addOption(
        new Option('--port <n>', 'port of this host to listen on, 0 for any that is free')
          .argParser(wholeNumber(0, 65_535))
          .default(10_809),
      )
      .option('--socket <path>', 'listen on a socket in the file system instead of a port')
      .option('--export <disk>', 'the one disk to be served (default: all)'),
  ).action(async (options: NbdOptions) => {
    await serveNbd(options, invocation);
  });
}

function addCommonOptions(command: Command): Command {
  return command
    .option('--machine <file>', 'machine file (default: 4 CPUs, 4 GiB, one NVMe device nvme0)')
    .addOption(new Option('--seed <n>', 'seed of every choice').argParser(wholeNumber(0, 0xffffffff)).default(1))
    .addOption(
      new Option('--fault <plan>', 'what goes wrong, and when: io.read@100=EIO,io@500=reset').argParser(planText),
    )
    .option('--record <file>', 'record the session; `pincushion run` repeats it without the clients')
    .option('--control <path>', 'socket that takes commands: arm PLAN, disarm, status, quit');
}

/** Told before anything is booted. */
function planText(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('Expected a fault plan.');
  FaultPlan.parse(text);
  return text;
}

async function serveNvme(options: NvmeOptions, invocation: Invocation): Promise<void> {
  const machine = describeMachine(options.machine);
  const controller = options.device ?? machine.description.devices.at(0)?.name;
  if (controller === undefined) throw noDevice('an NVMe controller');
  await serveUntilEnd(options, invocation, machine, controller, async (serving) => {
    await serving.listen({ path: options.socket }, (host) => new ShimConnection(host));
    invocation.terminal.out(`serving ${controller} on ${options.socket}\n`);
  });
}

async function serveNbd(options: NbdOptions, invocation: Invocation): Promise<void> {
  const machine = describeMachine(options.machine);
  await serveUntilEnd(options, invocation, machine, null, async (serving) => {
    const exports = exportsOf(serving.served.machine, options.export);
    if (exports.length === 0) throw noDevice('a disk');
    const address: Address = options.socket === undefined ? { port: options.port } : { path: options.socket };
    const listener = await serving.listen(address, (host) => new NbdConnection(exports, host));
    for (const { name, size } of exports) {
      const where =
        options.socket === undefined
          ? `nbd://127.0.0.1:${listener.port}/${name}`
          : `nbd+unix:///${name}?socket=${options.socket}`;
      invocation.terminal.out(`serving ${name} (${formatBytes(size)}) on ${where}\n`);
    }
  });
}

async function serveUntilEnd(
  options: ServeOptions,
  invocation: Invocation,
  machine: ReturnType<typeof describeMachine>,
  controller: string | null,
  open: (serving: Serving) => Promise<void>,
): Promise<void> {
  const { terminal } = invocation;
  const faults = options.fault === undefined ? null : FaultPlan.parse(options.fault);
  const interruption = new Interruption();
  const serving = new Serving(machine, { seed: options.seed, faults, controller }, options.record);
  const stop = (): void => {
    serving.stop();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    if (options.control !== undefined) {
      await serving.listen({ path: options.control }, (host) => new ControlConnection(serving, host));
    }
    await open(serving);
    await serving.run();
    const { requests, findings } = await serving.end();
    for (const { code, summary, times } of findings) {
      terminal.out(`${terminal.colours.red(code)} ${summary}${times > 1 ? ` (${times} times)` : ''}\n`);
    }
    terminal.out(`${requests} requests, ${findings.length === 0 ? 'nothing found' : `${findings.length} findings`}\n`);
    if (options.record !== undefined) terminal.out(`again: npx pincushion run ${options.record}\n`);
    if (findings.length > 0) invocation.exitCode = ExitCode.findings;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    interruption.dispose();
    await serving.dispose();
  }
}

function noDevice(what: string): UsageError {
  return new UsageError('DEVICE_UNKNOWN', 'the machine has no device that can be served', { expected: what });
}
