/** `selftest`: a row of the kernel's self-test tables, done on a machine of its own. */
import type { Operation } from '../operation';
import { runSelftest } from '../selftests/run';

const selftest: Operation = (_machine, _by, call) => ({ res: runSelftest(call.text('what')) });

export const selftestOperations: Readonly<Record<string, Operation>> = { selftest };
