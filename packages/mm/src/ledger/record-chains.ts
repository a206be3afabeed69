/**
 * Records of the full ledger: each frame has a chain of records, newest first, and each record points to the batch (the
 * call) that made it. Records are slots of typed arrays that are used again; a batch is an object, one per call.
 */
const FIRST_CAPACITY = 1024;

export class RecordChains<Batch> {
  private readonly heads: Int32Array;
  private nextOf = new Int32Array(FIRST_CAPACITY);
  private batchOf = new Int32Array(FIRST_CAPACITY);
  private linkOf = new Int32Array(FIRST_CAPACITY);
  /** Records 1…made have been used; free ones are chained through `nextOf`. */
  private made = 0;
  private freeRecord = 0;
  private readonly batches: (Batch | null)[] = [null];
  private readonly freeBatches: number[] = [];

  constructor(frameCount: number) {
    this.heads = new Int32Array(frameCount);
  }

  /** Registers a batch and returns its id, > 0. */
  addBatch(batch: Batch): number {
    const id = this.freeBatches.pop() ?? this.batches.length;
    this.batches[id] = batch;
    return id;
  }

  /** Puts a record at the head of a frame's chain. `link` is a word for the caller's use. */
  add(frame: number, batchId: number, link = 0): void {
    let record = this.freeRecord;
    if (record !== 0) this.freeRecord = this.nextOf[record];
    else {
      record = ++this.made;
      if (record === this.nextOf.length) this.grow();
    }
    this.nextOf[record] = this.heads[frame];
    this.batchOf[record] = batchId;
    this.linkOf[record] = link;
    this.heads[frame] = record;
  }

  /** The newest record of a frame, 0 for none. */
  first(frame: number): number {
    return this.heads[frame];
  }

  next(record: number): number {
    return this.nextOf[record];
  }

  batchId(record: number): number {
    return this.batchOf[record];
  }

  batch(record: number): Batch {
    return this.batches[this.batchOf[record]] as Batch;
  }

  batchWith(id: number): Batch {
    return this.batches[id] as Batch;
  }

  link(record: number): number {
    return this.linkOf[record];
  }

  setLink(record: number, link: number): void {
    this.linkOf[record] = link;
  }

  /** Takes a record out of its frame's chain. Its batch can still be asked for until the slot is used again. */
  remove(frame: number, record: number): void {
    if (this.heads[frame] === record) this.heads[frame] = this.nextOf[record];
    else {
      let before = this.heads[frame];
      while (this.nextOf[before] !== record) before = this.nextOf[before];
      this.nextOf[before] = this.nextOf[record];
    }
    this.nextOf[record] = this.freeRecord;
    this.freeRecord = record;
  }

  /** Forgets the batch of a record that was removed last. */
  removeBatch(record: number): void {
    this.removeBatchWith(this.batchOf[record]);
  }

  /** Forgets a batch that no record points to any more. */
  removeBatchWith(id: number): void {
    this.batches[id] = null;
    this.freeBatches.push(id);
  }

  /** All batches that are not forgotten, in the order of their ids. */
  liveBatches(): Batch[] {
    return this.batches.filter((batch) => batch !== null);
  }

  private grow(): void {
    this.nextOf = widened(this.nextOf);
    this.batchOf = widened(this.batchOf);
    this.linkOf = widened(this.linkOf);
  }
}

function widened(old: Int32Array): Int32Array<ArrayBuffer> {
  const wide = new Int32Array(old.length * 2);
  wide.set(old);
  return wide;
}
