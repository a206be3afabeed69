/** `file` and what is done to files: truncate, punch, sync, read and write. Mappings of them are in mapping.ts. */
import { HUGETLB_2M_ORDER, newHugetlbFile, newShmemFile } from '@pincushion/mm';
import { errnoName } from '@pincushion/sim';
import { openedAtOnce } from '@pincushion/fs';
import type { MappableFile } from '@pincushion/mm';
import type { Outcome } from '../recording';
import { UnknownArgument, PAGE } from '../operation';
import type { Call, Operation } from '../operation';
import type { Actor, Opened, ScenarioMachine } from '../scenario-machine';

/** What the recorder's file systems are here. A file that failed to get its size exists all the same. */
function create(machine: ScenarioMachine, call: Call): MappableFile | number {
  const name = call.text('f');
  switch (call.text('fs')) {
    case 'tmpfs':
    case 'memfd':
      return newShmemFile(machine.memory, name, 0);
    case 'hugetlb':
      return newHugetlbFile(machine.memory, name, 0, HUGETLB_2M_ORDER);
    case 'ext4':
      return openedAtOnce(machine.fileSystem.create(name));
    default:
      throw new UnknownArgument(`file system ${call.text('fs')}`);
  }
}

const file: Operation = (machine, by, call) => {
  const made = create(machine, call);
  if (typeof made === 'number') return { res: errnoName(made) };
  const pages = call.number('n', 4);
  let error = 0;
  if (call.text('fs') === 'hugetlb' || call.number('hole', 0) !== 0) {
    error = machine.settle(made.truncate(pages * PAGE));
  } else {
    const page = new Uint8Array(PAGE);
    for (let k = 0; k < pages; k++) {
      page.fill((call.number('v', 0) + k) & 255);
      const written = machine.settle(made.write(k * PAGE, page, 0, PAGE));
      if (written < 0) error = written;
    }
    machine.settle(made.fsync());
  }
  if (call.number('cold', 0) !== 0) machine.settle(made.fadviseDontneed());
  const opened = new OpenFile(made);
  by.opened.add(opened);
  machine.keep('file', call.text('f'), opened);
  return machine.ok(error);
};

/** The file `f` as the process has it open; null when it was never made, or by another process and not inherited. */
export function fileNamed(machine: ScenarioMachine, by: Actor, name: string): MappableFile | null {
  const found = machine.find('file', name);
  return found instanceof OpenFile && by.opened.has(found) ? found.file : null;
}

/** An open file; its content stays when nobody has it open any more. */
class OpenFile implements Opened {
  constructor(readonly file: MappableFile) {}

  close(): void {
    // Mappings and the page cache keep what they have.
  }
}

function onFile(act: (machine: ScenarioMachine, file: MappableFile, call: Call) => Outcome): Operation {
  return (machine, by, call) => {
    const found = fileNamed(machine, by, call.text('f'));
    return found === null ? { res: 'EBADF' } : act(machine, found, call);
  };
}

const fread = onFile((machine, found, call) => {
  const byte = new Uint8Array(1);
  const got = machine.settle(found.read(call.number('i', 0) * PAGE, byte, 0, 1));
  if (got < 0) return { res: errnoName(got) };
  return got === 0 ? { res: 'ok', x: 'eof' } : { res: byte[0] };
});

const fwrite = onFile((machine, found, call) => {
  const page = new Uint8Array(PAGE).fill(call.number('v', 0) & 255);
  return machine.ok(found.write(call.number('i', 0) * PAGE, page, 0, PAGE));
});

export const fileOperations: Readonly<Record<string, Operation>> = {
  file,
  fread,
  fwrite,
  trunc: onFile((machine, found, call) => machine.ok(found.truncate(call.number('n', 0) * PAGE))),
  punch: onFile((machine, found, call) =>
    machine.ok(found.punchHole(call.number('i', 0) * PAGE, call.number('n', 0) * PAGE)),
  ),
  fsync: onFile((machine, found) => machine.ok(found.fsync())),
  sfr: onFile((machine, found) => machine.ok(found.syncFileRange())),
  fadv: onFile((machine, found) => machine.ok(found.fadviseDontneed())),
  msync: (machine, by, call) => machine.ok(by.mm.msync(call.address, call.length)),
};
