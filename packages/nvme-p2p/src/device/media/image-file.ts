/**
 * Opens the image files of a controller's namespaces and says what is wrong with one that cannot be used.
 */
import type { HostFile, HostFiles } from '@pincushion/driver';
import { UsageError } from '@pincushion/driver';
import { DEFAULT_CAPACITY_BYTES } from '../controller-config';
import type { NamespaceSettings } from '../controller-config';
import { Namespace } from './namespace';

/** @throws UsageError IMAGE_UNREADABLE when the file cannot be opened or holds no block. */
export function openNamespace(id: number, settings: NamespaceSettings, files: HostFiles): Namespace {
  const { image, writable, blockBytes } = settings;
  const file = image === undefined ? null : openImage(image, writable, files);
  const capacity = settings.capacity ?? file?.size ?? DEFAULT_CAPACITY_BYTES;
  if (capacity < blockBytes) {
    throw new UsageError('IMAGE_UNREADABLE', `namespace ${id} has no room for a block of ${blockBytes} bytes`, {
      expected: `at least ${blockBytes} bytes`,
      actual: `${capacity} bytes${image === undefined ? '' : ` in ${image}`}`,
      hint: 'Give the namespace a capacity, or name another image.',
    });
  }
  const { copyRangeBlocksMax, copyBlocksMax, copyRangesMax } = settings;
  const limits = { copyRangeBlocksMax, copyBlocksMax, copyRangesMax };
  const namespace = new Namespace(id, capacity, blockBytes, file, writable, limits);
  for (const { first, blocks, fails } of settings.badBlocks) namespace.plantBadBlocks(first, blocks, fails);
  return namespace;
}

function openImage(path: string, writable: boolean, files: HostFiles): HostFile {
  try {
    return files.open(path, { writable });
  } catch (cause) {
    throw new UsageError('IMAGE_UNREADABLE', `the image file ${path} cannot be opened`, {
      expected: `a raw image file that can be read${writable ? ' and written' : ''}`,
      actual: cause instanceof Error ? cause.message : String(cause),
      hint: 'Check the path, which is relative to the machine file, and the rights of the file.',
      cause,
    });
  }
}
