/** MAXPHYADDR: CPUID leaf 80000008H tells it; CR3, page tables, MTRRs and the APIC base are bounded by it. */
export const PHYSICAL_ADDRESS_BITS = 40;
