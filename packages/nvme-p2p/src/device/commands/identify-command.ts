/**
 * The Identify command: which structure (CNS), and of what.
 *
 *   CNS        of                        a namespace id that is ...  invalid   not there
 *   00h, 11h   a namespace                                           0/0Bh     zeroes      11h: also when it is not attached
 *   05h, 1Bh   a namespace, per command set                          0/0Bh     zeroes
 *   03h        descriptors of a namespace                            0/0Bh     0/02h
 *   02h, 07h   namespaces attached, above an id                      0/0Bh     (none above)
 *   10h, 1Ah   namespaces that exist, above an id                    0/0Bh     (none above)
 *   12h, 13h   controllers of a namespace, of the subsystem          only with namespace management
 *   01h, 06h   the controller, and per command set
 *   1Ch        combinations of command sets
 *
 * Source: NVM Express Base Specification 1.4, section 5.15.2; which error as in the reference controller.
 */
import { BROADCAST_NSID, Cns } from '../../spec/opcodes';
import { NvmeStatus } from '../../spec/status';
import { NAMESPACES_MAX } from '../controller-config';
import type { ControllerConfig } from '../controller-config';
import {
  CONTROLLER_ID,
  identifyCommandSets,
  identifyController,
  identifyControllerList,
  identifyNamespace,
  identifyNamespaceDescriptors,
  identifyNamespaceList,
  identifyNvmController,
} from './identify';
import type { Namespace } from '../media/namespace';
import type { NamespaceTable } from '../media/namespace-table';

const CSI_NVM = 0;

/** Fills a zeroed page; a status. @param dword11 of the command: the command set, and from which controller a list starts */
export function fillIdentify(
  page: Uint8Array,
  dword10: number,
  nsid: number,
  dword11: number,
  config: ControllerConfig,
  { active, allocated }: NamespaceTable,
): number {
  const cns = dword10 & 0xff;
  const commandSet = dword11 >>> 24;
  const firstController = dword10 >>> 16;
  switch (cns) {
    case Cns.controller:
      identifyController(page, config);
      return NvmeStatus.success;
    case Cns.namespace:
      return ofNamespace(page, active, nsid);
    case Cns.allocatedNamespace:
      return ofNamespace(page, allocated, nsid);
    case Cns.activeNamespaces:
      return listed(page, active, nsid);
    case Cns.allocatedNamespaces:
      return listed(page, allocated, nsid);
    case Cns.activeNamespacesOfCommandSet:
    case Cns.allocatedNamespacesOfCommandSet:
      if (nsid >= BROADCAST_NSID - 1) return NvmeStatus.invalidNamespace;
      if (commandSet !== CSI_NVM) return NvmeStatus.invalidField;
      return listed(page, cns === Cns.activeNamespacesOfCommandSet ? active : allocated, nsid);
    case Cns.namespaceDescriptors:
      if (!isNamespaceId(nsid)) return NvmeStatus.invalidNamespace;
      if (active[nsid] === null) return NvmeStatus.invalidField;
      identifyNamespaceDescriptors(page, config, active[nsid]);
      return NvmeStatus.success;
    case Cns.namespaceOfCommandSet:
    case Cns.allocatedNamespaceOfCommandSet: {
      if (!isNamespaceId(nsid)) return NvmeStatus.invalidNamespace;
      const isThere = (cns === Cns.namespaceOfCommandSet ? active : allocated)[nsid] !== null;
      return !isThere || commandSet === CSI_NVM ? NvmeStatus.success : NvmeStatus.invalidField;
    }
    case Cns.controllerOfCommandSet:
      if (commandSet === CSI_NVM) identifyNvmController(page, config);
      return commandSet === CSI_NVM ? NvmeStatus.success : NvmeStatus.invalidField;
    case Cns.attachedControllers:
      if (!config.namespaceManagement) return NvmeStatus.invalidField;
      if (!isNamespaceId(nsid)) return NvmeStatus.invalidNamespace;
      identifyControllerList(page, firstController <= CONTROLLER_ID && active[nsid] !== null);
      return NvmeStatus.success;
    case Cns.controllers:
      if (!config.namespaceManagement) return NvmeStatus.invalidField;
      identifyControllerList(page, firstController <= CONTROLLER_ID);
      return NvmeStatus.success;
    case Cns.commandSets:
      identifyCommandSets(page);
      return NvmeStatus.success;
    default:
      return NvmeStatus.invalidField;
  }
}

function isNamespaceId(nsid: number): boolean {
  return nsid !== 0 && nsid <= NAMESPACES_MAX;
}

function ofNamespace(page: Uint8Array, namespaces: readonly (Namespace | null)[], nsid: number): number {
  if (!isNamespaceId(nsid)) return NvmeStatus.invalidNamespace;
  const namespace = namespaces[nsid];
  if (namespace !== null) identifyNamespace(page, namespace);
  return NvmeStatus.success;
}

function listed(page: Uint8Array, namespaces: readonly (Namespace | null)[], nsid: number): number {
  if (nsid >= BROADCAST_NSID - 1) return NvmeStatus.invalidNamespace;
  identifyNamespaceList(page, namespaces, nsid);
  return NvmeStatus.success;
}
