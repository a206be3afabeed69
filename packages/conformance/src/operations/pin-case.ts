/** `pincase`: a row of a table of pin cases, done on a machine of its own. */
import type { Operation } from '../operation';
import { runPinCase } from '../pin-cases/cases';
import { outcomeText } from '../pin-cases/table';

const pincase: Operation = (_machine, _by, call) => {
  const facts = runPinCase(call.text('name'), call.text('kernel'));
  return { res: facts === null ? 'unknown case' : outcomeText(facts) };
};

export const pinCaseOperations: Readonly<Record<string, Operation>> = { pincase };
