/** The operations that recordings name, by the kernel path each stands for. */
import type { Operation } from '../operation';
import { accessOperations } from './access';
import { backgroundOperations } from './background';
import { directIoOperations } from './direct-io';
import { fileOperations } from './files';
import { inFlightOperations } from './in-flight';
import { limitOperations } from './limits';
import { mappingOperations } from './mapping';
import { pinCaseOperations } from './pin-case';
import { pipeOperations } from './pipes';
import { processOperations } from './process';
import { registeredBufferOperations } from './registered-buffer';
import { remoteOperations } from './remote';
import { selftestOperations } from './selftest';

export const operations: Readonly<Record<string, Operation>> = {
  ...mappingOperations,
  ...accessOperations,
  ...processOperations,
  ...registeredBufferOperations,
  ...directIoOperations,
  ...inFlightOperations,
  ...fileOperations,
  ...pipeOperations,
  ...remoteOperations,
  ...limitOperations,
  ...backgroundOperations,
  ...selftestOperations,
  ...pinCaseOperations,
};
