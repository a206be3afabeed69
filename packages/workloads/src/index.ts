/** Workloads: block traces, fio job files and modules, run on an emulated machine with every byte checked. */
export { readWorkload, workloadKind } from './workload';
export type { TraceWorkload, Workload, WorkloadKind } from './workload';
export { parseBlkparse } from './blkparse';
export { BlockTrace } from './block-trace';
export { fitFioJob, parseFioJob } from './fio-job';
export type { FioDisk, FioJob, FioJobFile, FioParseOptions } from './fio-job';
export { moduleWorkload } from './workload-module';
export type { ModuleWorkload, WorkloadContext, WorkloadMain } from './workload-module';

export { WorkloadRun } from './workload-run';
export type { RunProgress, WorkloadRunOptions } from './workload-run';
export { THROUGH } from './run-files';
export type { Through } from './run-files';
export { RunReport, mergeReports, reportJsonSchema } from './report';
export type { IoCountsReport, JobReport, ReportedFinding, WorkloadReport } from './report';

export { PLAIN_STYLE, renderReport } from './report-text';
export type { ReportStyle } from './report-text';

export { TraceExport } from './trace-export';
export type { TraceExportOptions } from './trace-export';
export type { TraceFormat, TraceSink } from './trace-event-writer';

export { ContentModel } from './content-model';
export type { ContentModelOptions, WatchedDisk } from './content-model';
export { LatencyHistogram } from './latency-histogram';
export type { LatencySummary } from './latency-histogram';
