/**
 * Where a replay looks for what its file only names: in the present folder, beside the file, and where the finding was
 * made, in this order.
 */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { UsageError } from '@pincushion/sim';
import { locatePlugin } from '../plugins';

export class Places {
  private readonly folders: readonly string[];

  /** `file`: the replay file; `recorded`: the folder that paths of the finding start from. */
  constructor(
    private readonly file: string,
    recorded: string,
  ) {
    this.folders = [process.cwd(), dirname(resolve(file)), recorded];
  }

  /** The first folder that has all of these paths; the present one when none has. */
  folderOf(paths: readonly string[]): string {
    return this.folders.find((folder) => paths.every((path) => existsSync(resolve(folder, path)))) ?? this.folders[0];
  }

  /** A file. Throws `UsageError` FILE_UNREADABLE that names the places. */
  find(path: string, what: string): string {
    const found = this.pathOf(path);
    if (found !== null) return found;
    throw new UsageError('FILE_UNREADABLE', `${this.file} needs the ${what} ${path}, which is not there`, {
      expected: isAbsolute(path) ? 'the file there' : `the file in ${[...new Set(this.folders)].join(' or ')}`,
    });
  }

  /** The path from the first folder that has it; null when none has. */
  pathOf(path: string): string | null {
    const folder = this.folders.find((each) => existsSync(resolve(each, path)));
    return folder === undefined ? null : resolve(folder, path);
  }

  /** The folder from which a plugin is found: a package, or a module file. Throws `UsageError` PLUGIN_UNKNOWN. */
  folderOfPlugin(name: string): string {
    if (name.startsWith('.') || isAbsolute(name)) {
      this.find(name, 'plugin');
      return this.folderOf([name]);
    }
    const folder = this.folders.find((each) => isFound(name, each));
    if (folder !== undefined) return folder;
    throw new UsageError('PLUGIN_UNKNOWN', `${this.file}: there is no plugin "${name}"`, {
      expected: 'the package, installed where it can be found from the present folder',
      hint: `npm install ${name}`,
    });
  }
}

/** Whether a package is found from a folder, or comes with this command. */
function isFound(name: string, folder: string): boolean {
  try {
    locatePlugin(name, '', folder);
    return true;
  } catch {
    return false;
  }
}
