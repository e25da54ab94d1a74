/** The state components of XSAVE and the layout of their area (SDM vol. 1 13.2–13.4). */

/** Bits of XCR0. */
export const XSTATE = { x87: 1n, sse: 2n } as const;

/** State components that exist: XCR0 can hold no others. */
export const XSTATE_SUPPORTED = XSTATE.x87 | XSTATE.sse;

/** Legacy region and header; no extended region follows. */
export const XSAVE_AREA_BYTES = 576;

/** MXCSR bits that exist; MXCSR_MASK of FXSAVE. */
export const MXCSR_MASK = 0xffff;
