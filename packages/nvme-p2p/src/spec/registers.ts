/**
 * The registers of an NVMe controller: offsets and fields.
 * Used by both sides, as a driver and a controller are written from the same book.
 * Source: NVM Express Base Specification 1.4, section 3.1.
 */

export const REG_CAP = 0x00;
export const REG_VS = 0x08;
export const REG_INTMS = 0x0c;
export const REG_INTMC = 0x10;
export const REG_CC = 0x14;
export const REG_CSTS = 0x1c;
export const REG_AQA = 0x24;
export const REG_ASQ = 0x28;
export const REG_ACQ = 0x30;
export const REG_CMBLOC = 0x38;
export const REG_CMBSZ = 0x3c;
export const REG_CMBMSC = 0x50;
export const REG_CMBSTS = 0x58;
export const REG_PMRCAP = 0xe00;
export const REG_PMRCTL = 0xe04;
export const REG_PMRSTS = 0xe08;
export const REG_PMRMSCL = 0xe14;
export const REG_PMRMSCU = 0xe18;
/** Submission tail doorbell of queue y at `+ 8y`, completion head doorbell at `+ 8y + 4` (CAP.DSTRD is 0). */
export const REG_DOORBELLS = 0x1000;

/** Version 1.4.0. */
export const VERSION_1_4 = 0x00010400;

// CC, controller configuration.
export const CC_EN = 1;
export const CC_CSS_SHIFT = 4;
export const CC_CSS_MASK = 7;
/** Page size of the host is `2^(12 + MPS)`. */
export const CC_MPS_SHIFT = 7;
export const CC_MPS_MASK = 15;
export const CC_SHN_SHIFT = 14;
export const CC_SHN_MASK = 3;
export const CC_SHN_NORMAL = 1 << CC_SHN_SHIFT;
export const CC_IOSQES_SHIFT = 16;
export const CC_IOCQES_SHIFT = 20;

// CSTS, controller status.
export const CSTS_RDY = 1;
/** Controller fatal status: only a reset (CC.EN = 0) helps. */
export const CSTS_CFS = 2;
export const CSTS_SHST_MASK = 3 << 2;
export const CSTS_SHST_COMPLETE = 2 << 2;

// CAP, upper dword.
export const CAP_HIGH_PMRS = 1 << 24;
export const CAP_HIGH_CMBS = 1 << 25;
/** CC.CSS: no I/O commands at all. */
export const CSS_ADMIN_ONLY = 7;

// CMBMSC, controller memory buffer space control: registers enabled, memory space enabled; the rest is the base address.
export const CMBMSC_CRE = 1;
export const CMBMSC_CMSE = 2;
// PMRCTL, PMRSTS, PMRMSCL: enabled; not ready; memory space enabled.
export const PMRCTL_EN = 1;
export const PMRSTS_NRDY = 1 << 8;
export const PMRSTS_CBAI = 1 << 12;
export const PMRMSC_CMSE = 2;
/** BARs: the controller memory buffer, the persistent memory region. Registers and doorbells are in BAR 0. */
export const CMB_BAR = 2;
export const PMR_BAR = 4;

/** log2 of the size of a submission queue entry (64 bytes) and of a completion queue entry (16 bytes). */
export const SQE_SHIFT = 6;
export const CQE_SHIFT = 4;
export const SQE_BYTES = 64;
export const CQE_BYTES = 16;
export const SQE_WORDS = 16;
export const CQE_WORDS = 4;
