/** The version of this package, as its package.json says it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export function readVersion(): string {
  // The same step up from src/ and from dist/.
  const text = readFileSync(join(__dirname, '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
