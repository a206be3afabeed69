/**
 * The lifetime of a driver as the kernel sees it: which functions it calls, from which entry points, in which context and
 * order; once undisturbed, and then as it goes on from each place where a call is refused or the device is pulled out.
 *
 * Nothing in it is known of the driver: each path is the record of a trial, told from where it parts with the undisturbed
 * one. Paths that go on in the same way are told once.
 */
import type { DriverClass } from '@pincushion/driver';
import { driverMeta } from '@pincushion/driver';
import type { Conditions, Outcome } from '../trial';
import { runTrial } from '../trial';
import type { VerifyOptions } from '../verify-driver';
import { spread, subjectOf } from '../verify-driver';
import type { ContractRow } from './fold-rows';
import { RowNumbers, stepKey } from './fold-rows';

/** Steps after which unplugging is tried, at most; calls that are refused, at most. */
const PLACES_MAX = 100;

/** How the driver goes on from somewhere. */
export interface ContractPath {
  readonly kind: 'undisturbed' | 'refused' | 'unplugged';
  /** After which row of the undisturbed path, in each of the cases that go on in this way; their number, for the first one. */
  readonly after: readonly number[];
  /** What follows. Numbers go on from the first of `after`. */
  readonly rows: readonly ContractRow[];
}

export interface DriverContract {
  /** Name of the driver, from its decorator. */
  readonly driver: string;
  /** The undisturbed path first. */
  readonly paths: readonly ContractPath[];
  /** Codes of problems that these trials had: then the driver is not to be copied. */
  readonly problems: readonly string[];
}

/** Records the contract. Throws for faults of the kit alone; not for what the driver does. */
export function driverContract(
  driver: DriverClass,
  options: Omit<VerifyOptions, 'only' | 'skip' | 'trail'>,
): DriverContract {
  const { seed = 1, limit = PLACES_MAX, onTrial } = options;
  const subject = subjectOf(driver, options);
  const problems = new Set<string>();
  const record = (name: string, conditions: Omit<Conditions, 'seed' | 'recorded'>): Outcome => {
    onTrial?.(name);
    const outcome = runTrial(subject, { ...conditions, seed, recorded: true });
    for (const { code } of outcome.problems) problems.add(code);
    return outcome;
  };
  const undisturbed = record('survey', { undisturbed: true });
  const paths = new Paths(undisturbed);
  for (const nth of spread(undisturbed.refusable.all, limit)) {
    paths.add('refused', record(`refused@${nth}`, { refused: { nth, of: 'all' } }));
  }
  for (const step of spread(undisturbed.steps, limit)) {
    paths.add('unplugged', record(`unplug@${step}`, { act: { step, act: 'surprise' } }));
  }
  return { driver: driverMeta(driver)?.name ?? driver.name, paths: paths.all(), problems: [...problems].sort() };
}

class Paths {
  private readonly main: RowNumbers;
  private readonly mainKeys: readonly string[];
  private readonly others = new Map<string, ContractPath>();

  constructor(private readonly undisturbed: Outcome) {
    const { lifetime } = undisturbed;
    this.main = new RowNumbers(lifetime);
    this.main.layOut(lifetime.length);
    this.mainKeys = lifetime.map(stepKey);
  }

  all(): readonly ContractPath[] {
    return [{ kind: 'undisturbed', after: [], rows: this.main.rows() }, ...this.others.values()];
  }

  add(kind: ContractPath['kind'], { lifetime }: Outcome): void {
    const keys = lifetime.map(stepKey);
    let parted = 0;
    while (parted < keys.length && keys[parted] === this.mainKeys[parted]) parted++;
    if (parted === keys.length) return;
    const after = this.main.before(parted);
    const how = [kind, ...keys.slice(parted)].join('\n');
    const known = this.others.get(how);
    if (known !== undefined) {
      if (!known.after.includes(after)) this.others.set(how, { ...known, after: [...known.after, after] });
      return;
    }
    const numbers = new RowNumbers(lifetime);
    numbers.follow(this.main, parted);
    numbers.layOut(lifetime.length);
    this.others.set(how, { kind, after: [after], rows: numbers.rows() });
  }
}
