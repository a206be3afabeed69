/**
 * What `pincushion run` can run, told apart by the file's name and, where that says nothing, by its content.
 *
 *     *.fio                                   a fio job file
 *     *.blkparse.txt, *.blkparse.txt.gz, *.gz   a block trace
 *     *.ts *.js *.mjs *.cjs                   a workload module; loaded by the caller, see `moduleWorkload`
 */
import { UsageError } from '@pincushion/sim';
import { parseBlkparse } from './blkparse';
import type { BlockTrace } from './block-trace';
import type { FioJobFile, FioParseOptions } from './fio-job';
import { parseFioJob } from './fio-job';
import { isGzip, looksLikeBlkparse } from './trace-file';
import type { ModuleWorkload } from './workload-module';

export interface TraceWorkload {
  readonly kind: 'trace';
  readonly source: string;
  readonly trace: BlockTrace;
}

export type Workload = TraceWorkload | FioJobFile | ModuleWorkload;
export type WorkloadKind = Workload['kind'];

/** The kind of a workload file; `data` is its content and may be left out. Null when nothing fits. */
export function workloadKind(fileName: string, data?: Uint8Array): WorkloadKind | null {
  const name = fileName.toLowerCase();
  if (name.endsWith('.fio')) return 'fio';
  if (/\.[cm]?[jt]s$/.test(name)) return 'module';
  if (/\.blkparse(\.txt)?(\.gz)?$/.test(name) || name.endsWith('.gz')) return 'trace';
  if (data === undefined) return null;
  if (isGzip(data) || looksLikeBlkparse(data)) return 'trace';
  return /^\s*\[[^\]\n]+\]/m.test(Buffer.from(data.subarray(0, 4096)).toString('latin1')) ? 'fio' : null;
}

/**
 * Reads a trace or a job file. Throws `UsageError` TRACE_INVALID or JOB_INVALID for bad content, WORKLOAD_INVALID when
 * the kind cannot be told, or is a module, which only the caller can load.
 */
export function readWorkload(fileName: string, data: Uint8Array, options: FioParseOptions = {}): Workload {
  switch (workloadKind(fileName, data)) {
    case 'trace':
      return { kind: 'trace', source: fileName, trace: parseBlkparse(data, fileName) };
    case 'fio':
      return parseFioJob(Buffer.from(data).toString('utf8'), fileName, options);
    case 'module':
    case null:
      throw new UsageError('WORKLOAD_INVALID', `${fileName}: this is no workload that can be read as a file`, {
        expected: 'a fio job file (.fio), a block trace (.blkparse.txt, .gz) or a module (.ts, .js)',
      });
  }
}
