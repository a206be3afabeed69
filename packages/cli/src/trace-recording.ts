/** The file of `--trace`: `.jsonl` an event a line, everything else a document for the Perfetto UI. */
import type { Machine } from '@pincushion/machine';
import { TraceExport } from '@pincushion/workloads';
import { OutputFile } from './output-file';

export class TraceRecording {
  private readonly file: OutputFile;
  private events: TraceExport | null = null;

  /** Throws UsageError FILE_UNWRITABLE before any work was done. */
  constructor(private readonly path: string) {
    this.file = new OutputFile(path);
  }

  /** Records from here on. */
  attach(machine: Machine): void {
    this.events = new TraceExport(machine, {
      format: this.path.endsWith('.jsonl') ? 'jsonl' : 'json',
      sink: (chunk) => {
        this.file.write(chunk);
      },
    });
  }

  /** Completes the file and gives it its name. */
  finish(): void {
    this.events?.close();
    this.file.finish();
  }

  /** Leaves no file; does nothing after `finish`. */
  discard(): void {
    this.file.discard();
  }
}
