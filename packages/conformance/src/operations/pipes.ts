/** `vmsplice`, `pipedrain`: pages of a process in a pipe, held by plain references. */
import { errnoName } from '@pincushion/sim';
import { Pipe } from '@pincushion/mm';
import { PAGE } from '../operation';
import type { Operation } from '../operation';

/** First bytes of drained pages that the recorder notes. */
const BYTES_NOTED_MOST = 8;

/** A pipe and the pages put into it; none after it was drained. */
class FilledPipe {
  constructor(
    readonly pipe: Pipe,
    public pages: number,
  ) {}
}

const vmsplice: Operation = (machine, by, call) => {
  const pipe = new Pipe(machine.memory, `pipe ${call.text('id')}`);
  const bytes = call.number('n', 0) !== 0 ? call.length : PAGE;
  const times = call.number('reps', 1);
  if (times > 1) pipe.setSize(times * PAGE);
  const gift = call.number('gift', 0) !== 0;
  let total = 0;
  for (let k = 0; k < times; k++) {
    const put = machine.settle(pipe.vmsplice(by.mm, call.address, bytes, { gift }));
    if (put < 0) {
      pipe.close();
      return { res: errnoName(put) };
    }
    total += put;
  }
  const pages = Math.floor(total / PAGE);
  by.opened.add(pipe);
  machine.keep('pipe', call.text('id'), new FilledPipe(pipe, pages));
  return { res: pages };
};

const pipedrain: Operation = (machine, _by, call) => {
  const filled = machine.find('pipe', call.text('id'));
  if (!(filled instanceof FilledPipe) || filled.pages === 0) return { res: 'ENOENT' };
  const page = new Uint8Array(PAGE);
  const bytes: number[] = [];
  let drained = 0;
  for (; drained < filled.pages && filled.pipe.read(page) > 0; drained++) {
    if (drained < BYTES_NOTED_MOST) bytes.push(page[0]);
  }
  filled.pages = 0;
  return { res: drained, ...(bytes.length === 0 ? {} : { x: bytes.join(',') }) };
};

export const pipeOperations: Readonly<Record<string, Operation>> = { vmsplice, pipedrain };
