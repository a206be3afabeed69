/** The version of the plugin contract. A change that breaks drivers raises it. */
import { UsageError } from '@pincushion/sim';

/** Version of the plugin contract that this package has. */
export const PLUGIN_API = 1;

/** The error for a plugin or package that was made for another version of the contract; it names both. */
export function otherApi(what: string, api: unknown): UsageError {
  const newer = typeof api === 'number' && api > PLUGIN_API;
  return new UsageError('DRIVER_API_MISMATCH', `${what} was made for another version of the plugin contract`, {
    expected: `api: ${PLUGIN_API}`,
    actual: `api: ${String(api)}`,
    hint: newer ? `a newer Pincushion, or a version of ${what} for api ${PLUGIN_API}` : `a newer version of ${what}`,
  });
}
