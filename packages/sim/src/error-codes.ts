/**
 * The catalogue of error and finding codes of all packages: code -> what it means, in one sentence.
 *
 * One list for the whole product, so that a code has one meaning, the manual can be checked against it, and a misspelt
 * code does not compile. Each code is provoked by a test of the package that reports it.
 */
export const ERROR_CODES = Object.freeze({
  // Contexts, tasks and locks
  SLEEP_IN_ATOMIC:
    'A service that may sleep was called where nothing may sleep: in an interrupt, a softirq, device code or under a spin lock.',
  CONTEXT_UNBALANCED: 'A context was left that was never entered, or contexts were nested too deep.',
  TASK_NEVER_STARTED: 'A may-sleep service was called and its task dropped, so that none of its body ever ran.',
  TASK_STARTED_TWICE: 'A task was consumed a second time; a task runs once.',
  TASK_STUCK: 'A task waits for something that can no longer happen, because no event and no other task is left.',
  TASK_FAILED: 'A task ended with an exception that nobody looked at.',
  TASK_BAD_YIELD: 'A task yielded something it cannot wait for; usually a star is missing after yield.',
  WORLD_BUSY: 'A world was asked to run from code that runs inside that world already.',
  SCHEDULE_INVALID:
    'An event was scheduled with a delay that is not a whole number of nanoseconds from 0 up, or for an unknown handler.',
  LOCK_NOT_OWNED: 'A lock was released by somebody who does not own it.',
  LOCK_RECURSIVE: 'A task tried to take a lock that it owns already.',
  LOCK_ORDER: 'Locks are taken in orders that contradict each other, so that tasks may wait for each other for ever.',
  INFEASIBLE_CHOICE:
    'Code nested at a preemption point needs a lock that is held below it: hardware could not have got there, so the choice does not count.',
  CHOICE_INVALID:
    'A choice was asked for with an impossible range, or a forced value lies outside of the range of the decision.',
  CHOICES_UNREADABLE: 'A recording of choices has a line that cannot be understood.',
  PORT_INVALID: 'A port was used from inside the machine, was registered twice, or is not known.',
  FAULT_SITE_INVALID: 'A fault rule names an unknown site, a count below zero or an error number that is not negative.',
  FAULT_PLAN_INVALID: 'A fault plan cannot be understood, or names a device that is not there.',
  LISTENER_LEAK: 'Somebody still listens to tracepoints when a test has ended.',
  // Memory and pins
  PIN_LEAK: 'Pages are still pinned at the end of the run.',
  PIN_WRONG_RELEASE:
    'References were given back by the release function of the other kind: pinned pages to put, or gotten pages to unpin.',
  PIN_DOUBLE_RELEASE: 'A pin was given back more often than it was taken.',
  UNPINNED_WHILE_MAPPED: 'A page was unpinned while it was still mapped for a device.',
  DMA_AFTER_UNPIN: 'A device accessed a page after the pin that protected it was given back.',
  PIN_WRONG_PAGE: 'A page was given back by somebody who does not hold it.',
  PIN_RELEASED_CLEAN: 'A page that a device has written was given back without marking it dirty.',
  PIN_READ_ONLY_WRITTEN: 'A page that was pinned for reading is mapped for a device to write, or was written by one.',
  PIN_PARTED: 'A process and a device no longer see the same page at an address that was pinned.',
  MAPPED_UNPINNED: 'User memory was mapped for a device without being pinned.',
  DMA_INTO_FOREIGN_PAGE: 'A device wrote to a page that was freed and belongs to somebody else now.',
  ACCOUNTING_DRIFT: 'More memory is charged as pinned than is pinned.',
  GUP_BAD_FLAGS:
    'A get_user_pages or pin_user_pages call was made with flags that exclude one another or are reserved.',
  OUT_OF_MEMORY: 'The memory of the emulated machine is too small for what was asked.',
  MEMORY_INVALID:
    'The state of the emulated memory contradicts itself, or a memory function was called with impossible arguments.',
  FRAME_DOUBLE_FREE: 'A page frame was freed that was free already.',
  KERNEL_BUG: 'The emulated kernel met a state in which the real one stops with BUG.',
  // DMA
  DMA_FAULT: 'A device accessed an address that is not mapped for it, or in a direction that is not allowed.',
  DMA_MAPPING_LEAK: 'DMA mappings are still alive although their device is gone or the run has ended.',
  DMA_STALE_ACCESS: 'A device accessed a mapping that was undone already but whose IOMMU entry was not yet flushed.',
  DMA_UNMAP_UNKNOWN: 'An address was unmapped that is not the start of a live DMA mapping.',
  DMA_UNMAP_WRONG_SIZE: 'A DMA mapping was undone with another size than it was made with.',
  DMA_UNMAP_WRONG_DIRECTION: 'A DMA mapping was undone with another direction than it was made with.',
  PCI_NO_ROOM: 'The memory of a device that is plugged in does not fit into the addresses that are kept for it.',
  DMA_INVALID: 'A DMA function was called with impossible arguments.',
  // Block
  BIO_ENDED_TWICE: 'A bio was completed a second time.',
  BIO_NEVER_ENDED: 'A bio was submitted and never completed.',
  BIO_INVALID: 'A bio was submitted that covers parts of blocks, is in flight already, or was freed.',
  DISK_LIMITS_INVALID: 'A disk was given limits that no bio can keep.',
  // File systems
  FS_TOO_SMALL: 'There is no room for a file system on a disk, or the disk is smaller than the file system on it.',
  FS_SUPERBLOCK_INVALID: 'What is on a disk is no file system that can be mounted.',
  FS_MOUNT_FAILED: 'A file system could not be read when it was mounted, or contradicts itself.',
  FS_UNMOUNT_FAILED: 'A file system could not be unmounted when the machine was shut down.',
  FS_INCONSISTENT: 'A file system that a run went through contradicts itself when it is looked at afterwards.',
  // Drivers and devices
  DRIVER_SERVICE_MISSING: 'A driver asks for a service that this machine does not offer.',
  DRIVER_METADATA_MISSING:
    'The types of a driver constructor are unknown at run time, so its services cannot be found.',
  DRIVER_METADATA_INVALID: 'The decorator of a driver or of a hardware model says something impossible.',
  DRIVER_DUPLICATE_PACKAGE:
    'A second copy of a package of the product was loaded, so that its classes are not the same classes.',
  DRIVER_CONFIG_INVALID: 'The configuration of a driver or of its hardware does not fit its schema.',
  DRIVER_API_MISMATCH: 'A driver or plugin was written for another version of the plugin contract.',
  DRIVER_PROBE_FAILED: 'The probe of a driver failed; what it had acquired was released.',
  DRIVER_PROBE_STUCK: 'The probe of a driver has not ended within the time that a probe may take.',
  DRIVER_REMOVE_FAILED: 'The remove of a driver failed; what the device owned was released all the same.',
  DRIVER_HOOK_FAILED: 'A lifecycle hook of a driver failed.',
  DRIVER_NO_MATCH: 'No driver of the loaded plugins matches a device.',
  DEVICE_GONE: 'A device was used after it was removed.',
  DEVICE_INVALID: 'A device model or driver used its hardware interface with impossible arguments.',
  DEVICE_TRANSFER_LEAK: 'A transfer was still in flight when the removal of its device had ended.',
  DEVICE_WORK_LEAK: 'A work item of a device was still queued or running when the removal of its device had ended.',
  DEVICE_TIMER_LEAK: 'A timer of a device was still running when the removal of its device had ended.',
  DEVICE_INTERRUPT_LEAK: 'An interrupt of a device was still requested when the removal of its device had ended.',
  DRIVER_ENDLESS_LOOP:
    'Code of a driver does not give control back, or starts itself again and again, so that the machine never comes to rest.',
  EXAMPLE_FAILED: 'The example program of a plugin failed although nothing was done to it.',
  RESOURCE_RELEASE_FAILED: 'A managed resource failed while it was released; the others were released all the same.',
  HOST_FILES_REFUSED: 'A device asked for a file of the host where none is offered.',
  // Machines
  MACHINE_INVALID: 'A machine description has a field that is unknown or has an impossible value.',
  DEVICE_DUPLICATE: 'Two devices, disks or character devices of a machine have the same name.',
  MOUNT_DUPLICATE: 'A machine description mounts two file systems at one place, or uses a disk twice.',
  DEVICE_UNKNOWN: 'A machine has no device, disk or character device of that name.',
  PLUGIN_UNKNOWN: 'A machine description names a plugin that is not loaded.',
  PLUGIN_AMBIGUOUS: 'Several plugins bring the same hardware or a driver for it, and nothing says which is meant.',
  PACKAGE_FIELD_INVALID:
    'What a package says about its plugin in the field `pincushion` of its description cannot be used.',
  PLUGIN_INVALID: 'A plugin could not be loaded or does not export what a plugin must.',
  // Workloads and files
  WORKLOAD_INVALID: 'A workload cannot be run: its kind is unknown, it is empty, or it does not fit the machine.',
  TRACE_INVALID: 'A block trace has a line that cannot be understood or that does not fit the device.',
  JOB_INVALID: 'A job file has an option or a value that cannot be used.',
  RECORDING_INVALID:
    'A recording of a real kernel cannot be understood: it is cut off, of another kind, or has a wrong field.',
  KERNEL_DISAGREEMENT: 'The memory manager did something else in a recorded situation than the real kernel.',
  REPLAY_INVALID: 'A replay file cannot be understood: it is cut off, of another version, or has an impossible field.',
  REPLAY_DIVERGED: 'A replay took another decision than the run it repeats, although nothing is known to differ.',
  SCENARIO_INVALID: 'A scenario written by hand has an operation, an argument or a name that cannot be.',
  IMAGE_UNREADABLE: 'The image file behind a device cannot be opened, read or written.',
  FILE_UNREADABLE: 'A file that was named cannot be read.',
  FILE_UNWRITABLE: 'A file that was named cannot be written.',
  ADDRESS_UNUSABLE: 'A port or a socket file that was named cannot be listened on.',
  SESSION_INVALID: 'A recorded session cannot be understood: it is cut off, of another version, or has a wrong line.',
  FOLDER_NOT_EMPTY: 'A new package would be written over something that is there already.',
  ARGUMENT_INVALID: 'A command-line argument is unknown or has an impossible value.',
  DATA_LOST: 'A sector does not have the content that was written to it last.',
  DATA_TORN: 'A sector has parts of several writes.',
  DATA_MISPLACED: 'A sector has content that was written to another sector.',
  IO_FAILED: 'An I/O ended with an error that was not expected.',
  IO_LOST: 'An I/O was issued and never completed.',
  INTERNAL: 'The emulator contradicts itself; this is a bug of the product.',
} as const);

/** A code of the catalogue. */
export type ErrorCode = keyof typeof ERROR_CODES;
