/** From a file to a workload: its kind is told by the name, or by the content where the name says nothing. */
import { moduleWorkload, readWorkload, workloadKind } from '@pincushion/workloads';
import type { Workload } from '@pincushion/workloads';
import { loadModule } from './load-module';
import { readUserFile } from './read-file';

export function openWorkload(file: string, options: { readonly strict?: true } = {}): Workload {
  if (workloadKind(file) === 'module') return moduleWorkload(file, loadModule(file, 'workload module'));
  return readWorkload(file, readUserFile(file, 'workload'), { strict: options.strict ?? false });
}
