/**
 * What a user program calls to ask a controller who it is: opens `/dev/nvme0`, sends Identify, reads the answer.
 * The program's memory is reached only through the program itself, as a library in its address space does.
 */
import type { MaySleep, Task, UserProgram } from '@pincushion/driver';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@pincushion/driver';
import { readControllerIdentity, readNamespaceIdentity } from '../driver/identity';
import type { ControllerIdentity, NamespaceIdentity } from '../driver/identity';
import { NVME_IOCTL_ADMIN_CMD } from '../driver/passthrough';
import type { PassthroughCommand } from '../driver/passthrough';
import { AdminOpcode, Cns, IDENTIFY_BYTES } from '../spec/opcodes';

/** Identify Controller on `/dev/<name>`. Task context. The identity, or -errno, or the status of the command. */
export function* identifyController(program: UserProgram, path: string): Task<ControllerIdentity | number> {
  const page = yield* identify(program, path, Cns.controller, 0);
  return typeof page === 'number' ? page : readControllerIdentity(page);
}

/** Identify Namespace. Task context. The identity, or -errno, or the status of the command. */
export function* identifyNamespace(program: UserProgram, path: string, nsid: number): Task<NamespaceIdentity | number> {
  const page = yield* identify(program, path, Cns.namespace, nsid);
  return typeof page === 'number' ? page : readNamespaceIdentity(page);
}

function* identify(program: UserProgram, path: string, cns: number, nsid: number): Task<Uint8Array | number> {
  const fd = yield* program.open(path);
  if (fd < 0) return fd;
  const address = yield* settle(program.mmap(IDENTIFY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS));
  let status = address;
  const page = new Uint8Array(IDENTIFY_BYTES);
  if (address >= 0) {
    const command: PassthroughCommand = {
      opcode: AdminOpcode.identify,
      nsid,
      address,
      bytes: IDENTIFY_BYTES,
      cdw10: cns,
    };
    status = yield* program.ioctl(fd, NVME_IOCTL_ADMIN_CMD, command);
    if (status === 0) {
      const got = yield* settle(program.read(address, page));
      if (got < 0) status = got;
    }
    yield* settle(program.munmap(address, IDENTIFY_BYTES));
  }
  yield* program.close(fd);
  return status === 0 ? page : status;
}

function* settle(result: MaySleep): Task<number> {
  return typeof result === 'number' ? result : yield* result;
}
