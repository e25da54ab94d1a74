/** The registers that the MMIO page and the x2APIC MSRs share. Offsets as in `REGISTER`. */
import { type ApicBus, DELIVERY, widenDestination } from '../apic-bus/interrupt-message.ts';
import { decodeCommand, ICR_WRITABLE } from './interrupt-command.ts';
import type { Interrupts } from './interrupts.ts';
import { processorPriority } from './priority.ts';
import {
  ERROR_SEND_VECTOR,
  type LocalApicState,
  LVT,
  LVT_MASKED,
  LVT_READ_ONLY,
  LVT_REMOTE_IRR,
  LVT_WRITABLE,
  REGISTER,
  SVR_ENABLE,
  SVR_WRITABLE,
  VERSION,
} from './registers.ts';
import type { ApicTimer } from './timer.ts';

export interface RegisterFileOptions {
  readonly id: number;
  readonly state: LocalApicState;
  readonly interrupts: Interrupts;
  readonly timer: ApicTimer;
  readonly bus: ApicBus;
}

export function createRegisterFile({ id, state, interrupts, timer, bus }: RegisterFileOptions) {
  /** The value of a register, or `undefined` if there is none at that offset. Unsigned. */
  function read(offset: number): number | undefined {
    if (offset >= REGISTER.isr && offset < REGISTER.esr) return readVectors(offset);
    if (offset >= REGISTER.lvt && offset < REGISTER.lvtEnd) return state.lvt[(offset - REGISTER.lvt) >> 4];
    switch (offset) {
      case REGISTER.id:
        return interrupts.x2apic() ? id : (id << 24) >>> 0;
      case REGISTER.version:
        return VERSION;
      case REGISTER.tpr:
        return state.tpr;
      case REGISTER.apr:
      case REGISTER.eoi:
      case REGISTER.rrd:
        return 0;
      case REGISTER.ppr:
        return processorPriority(state);
      case REGISTER.ldr:
        return interrupts.x2apic() ? (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0 : state.ldr;
      case REGISTER.dfr:
        return state.dfr;
      case REGISTER.svr:
        return state.svr;
      case REGISTER.esr:
        return state.errorStatus;
      case REGISTER.icrLow:
        return state.icrLow;
      case REGISTER.icrHigh:
        return state.icrHigh;
      case REGISTER.initialCount:
        return state.initialCount;
      case REGISTER.currentCount:
        return timer.currentCount();
      case REGISTER.divide:
        return state.divide;
      default:
        return undefined;
    }
  }

  function readVectors(offset: number): number {
    const words = offset < REGISTER.tmr ? state.isr : offset < REGISTER.irr ? state.tmr : state.irr;
    return words[(offset >> 4) & 7];
  }

  /** False if there is no register at that offset. Read-only registers ignore the write. */
  function write(offset: number, value: number): boolean {
    if (offset >= REGISTER.lvt && offset < REGISTER.lvtEnd) {
      writeLvt((offset - REGISTER.lvt) >> 4, value);
      return true;
    }
    switch (offset) {
      case REGISTER.tpr:
        setTaskPriority(value & 0xff);
        return true;
      case REGISTER.eoi:
        interrupts.endOfInterrupt();
        return true;
      case REGISTER.ldr:
        state.ldr = (value & 0xff00_0000) >>> 0;
        return true;
      case REGISTER.dfr:
        state.dfr = (value | 0x0fff_ffff) >>> 0;
        return true;
      case REGISTER.svr:
        writeSpurious(value & SVR_WRITABLE);
        return true;
      case REGISTER.esr:
        state.errorStatus = state.errorsDetected;
        state.errorsDetected = 0;
        return true;
      case REGISTER.icrLow:
        sendCommand(value, widenDestination(state.icrHigh >>> 24));
        return true;
      case REGISTER.icrHigh:
        state.icrHigh = (value & 0xff00_0000) >>> 0;
        return true;
      case REGISTER.initialCount:
        timer.setInitialCount(value);
        return true;
      case REGISTER.divide:
        timer.setDivide(value & 0xb);
        return true;
      default:
        return read(offset) !== undefined;
    }
  }

  /** While software has the APIC disabled, every entry is masked and stays so. SDM vol. 3A 10.4.7.2. */
  function writeLvt(index: number, value: number): void {
    const writable = LVT_WRITABLE[index];
    let entry = (value & writable) | (state.lvt[index] & LVT_READ_ONLY);
    if ((state.svr & SVR_ENABLE) === 0) entry |= LVT_MASKED;
    if (index === LVT.timer) {
      timer.setLvt(entry);
      return;
    }
    if (index === LVT.lint0 && !levelFixed(entry)) entry &= ~LVT_REMOTE_IRR;
    state.lvt[index] = entry;
    if (index === LVT.lint0) interrupts.reviewLint0();
  }

  function levelFixed(entry: number): boolean {
    return (entry & 0x8700) === 0x8000;
  }

  function writeSpurious(value: number): void {
    timer.catchUp();
    state.svr = value;
    if ((value & SVR_ENABLE) !== 0) return;
    for (let index = 0; index < state.lvt.length; index++) state.lvt[index] |= LVT_MASKED;
    timer.rearm();
    interrupts.refresh();
  }

  function setTaskPriority(value: number): void {
    state.tpr = value;
    interrupts.refresh();
  }

  /** Stores and sends; `destination` as the bus takes it. An IPI is accepted at once: delivery status reads idle. */
  function sendCommand(low: number, destination: number): void {
    state.icrLow = low & ICR_WRITABLE;
    const command = decodeCommand(low, destination, id);
    if (command.kind === 'bad-vector') interrupts.raiseError(ERROR_SEND_VECTOR);
    else if (command.kind === 'bus') bus.deliver(command.message);
    else if (command.kind === 'self') interrupts.deliver(command.message);
  }

  /** The x2APIC SELF IPI register. */
  function sendSelf(vector: number): void {
    sendCommand(0x4_0000 | (DELIVERY.fixed << 8) | vector, 0);
  }

  return { read, write, sendCommand, sendSelf, setTaskPriority };
}

export type RegisterFile = ReturnType<typeof createRegisterFile>;
