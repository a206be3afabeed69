/** The whole suite on every planted bug: the check that is meant for it is the first to find it. */
import { driverMeta } from '@pincushion/driver';
import { verifyDriver } from '@pincushion/testing';
import { PLANTED } from './planted';

describe('verifyDriver, with every check', () => {
  it.each(PLANTED.map((bug) => [driverMeta(bug.driver)?.name, bug] as const))(
    'names the bug of the driver that %s',
    (_name, { driver, hardware, example, code, check }) => {
      const { problems } = verifyDriver(driver, { hardware, example, stepsMax: 20_000 });
      expect(problems).toContainEqual(expect.objectContaining({ code, check }));
    },
  );
});
