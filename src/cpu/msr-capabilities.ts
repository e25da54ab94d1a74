/** IA32_ARCH_CAPABILITIES: the speculation flaws that this processor does not have (SDM vol. 4 table 2-2). */

const RDCL_NO = 1n << 0n;
/** Enhanced IBRS: what makes a guest do without retpolines. */
const IBRS_ALL = 1n << 1n;
const SKIP_L1DFL_VMENTRY = 1n << 3n;
const SSB_NO = 1n << 4n;
const MDS_NO = 1n << 5n;
const IF_PSCHANGE_MC_NO = 1n << 6n;
const TAA_NO = 1n << 8n;
const SBDR_SSDP_NO = 1n << 13n;
const FBSDP_NO = 1n << 14n;
const PSDP_NO = 1n << 15n;
const BHI_NO = 1n << 20n;
const PBRSB_NO = 1n << 24n;
const GDS_NO = 1n << 26n;
const RFDS_NO = 1n << 27n;
const ITS_NO = 1n << 62n;

/**
 * RSBA and RRSBA stay clear: they would say that returns can be predicted from elsewhere than the return stack. The
 * register and its bits are read by guests alone; nothing here speculates on guest data.
 */
export const ARCH_CAPABILITIES =
  RDCL_NO |
  IBRS_ALL |
  SKIP_L1DFL_VMENTRY |
  SSB_NO |
  MDS_NO |
  IF_PSCHANGE_MC_NO |
  TAA_NO |
  SBDR_SSDP_NO |
  FBSDP_NO |
  PSDP_NO |
  BHI_NO |
  PBRSB_NO |
  GDS_NO |
  RFDS_NO |
  ITS_NO;
