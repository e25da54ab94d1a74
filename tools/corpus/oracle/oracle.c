/*
 * Runs machine-code cases on the host processor, in user mode, and records what they did.
 *
 * A binary stream of `struct test` on stdin becomes a stream of `struct result` (each followed by its changed memory) on
 * stdout, in order; `../oracle.ts` is the other end and holds the same layout.
 *
 * Nothing of ours runs between loading a case's registers and saving them: the signal handler edits the context that the
 * kernel restores on sigreturn (GPRs, flags, CS, SS, x87, MXCSR, XMM), the case's bytes are followed by INT3, and the
 * next signal (INT3 or a fault) delivers the complete state again, on an alternate stack. So a case may destroy any
 * register, RSP included. 64-bit cases run under CS 0x33, 32-bit ones under the kernel's flat compatibility segment 0x23,
 * 16-bit ones under segments of the local descriptor table.
 *
 * The handler is compiled without SSE and calls no libc: the FS base belongs to the case.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* The same figures as in ../layout.ts. HIGH is added for 64-bit code; the low mappings exist in every mode. */
#define HIGH 0x3abc00000000ull
#define CODE 0x10000000ull
#define CODE_SIZE 0x2000
#define START 0x1000
#define DATA 0x10100000ull
#define DATA_SIZE 0x2000
#define READ_ONLY_SIZE 0x1000
#define WINDOW 0xf80
#define WINDOW_SIZE 256
#define BASE16 (DATA - 0x4000)
#define FS16 (DATA - 0x3800)
#define GS16 (DATA - 0x2400)
#define FS32 0x00123450ull
#define GS32 0xf0000010ull
#define FS64 0x123456780ull
#define GS64 0xffffffff80000010ull

#define CODE_BYTES 32
#define INT3 0xcc

struct image {
  uint64_t gpr[16]; /* in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8-r15 */
  uint64_t rip, rflags;
  uint8_t fx[416]; /* the FXSAVE64 image without its reserved end */
};

struct test {
  uint32_t mode, length;
  uint8_t code[CODE_BYTES];
  struct image image; /* rip is ignored */
  uint8_t window[WINDOW_SIZE];
};

/* Followed by `runs` times: u16 offset from DATA, u16 length, bytes. */
struct result {
  uint32_t size;   /* of the whole record, runs included */
  uint32_t vector; /* 0-31, or one of the values below */
  uint32_t error, signal;
  uint64_t address; /* CR2 of a page fault */
  uint64_t fs_base, gs_base;
  uint16_t cs, ss, ds, es, fs, gs;
  uint16_t runs, reserved;
  struct image image;
};

enum { COMPLETED = 0x100, TIMED_OUT = 0x101, SYSTEM_CALL = 0x102 };

static const int GREGS[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* Writable views of the pages that the cases see; the code is not writable where the cases see it. */
static uint8_t *code_view, *data_view;
/* What the data pages held when the case began. */
static uint64_t before[DATA_SIZE / 8];
static struct test current;
static int running;
static uint64_t sequence, sequence_at_tick;

static uint8_t input[1 << 20];
static size_t input_at, input_end;
static uint8_t output[1 << 20];
static size_t output_end;

static void copy(void *to, const void *from, size_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void fill(void *to, uint8_t value, size_t bytes) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

static long call3(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static void leave(int status) {
  call3(SYS_exit_group, status, 0, 0);
  __builtin_unreachable();
}

static void flush(void) {
  size_t at = 0;
  while (at < output_end) {
    long n = call3(SYS_write, 1, (long)(output + at), output_end - at);
    if (n == -4) continue; /* EINTR */
    if (n <= 0) leave(3);
    at += n;
  }
  output_end = 0;
}

/* Reads the next case into `current`; ends the process at the end of the stream. */
static void next_case(void) {
  size_t have = 0;
  while (have < sizeof current) {
    if (input_at == input_end) {
      flush();
      long n = call3(SYS_read, 0, (long)input, sizeof input);
      if (n == -4) continue;
      if (n < 0) leave(3);
      if (n == 0) leave(have == 0 ? 0 : 4);
      input_at = 0;
      input_end = n;
    }
    size_t part = sizeof current - have;
    if (part > input_end - input_at) part = input_end - input_at;
    copy((uint8_t *)&current + have, input + input_at, part);
    input_at += part;
    have += part;
  }
  if (current.length > CODE_BYTES || (current.mode != 16 && current.mode != 32 && current.mode != 64)) leave(5);
}

#define LDT_SELECTOR(entry) ((entry) * 8 + 7)
#define READ_SEGMENT(name) ({ uint32_t v; __asm__ volatile("mov %%" name ", %0" : "=r"(v)); (uint16_t)v; })
#define LOAD_SEGMENT(name, value) __asm__ volatile("mov %0, %%" name : : "r"((uint32_t)(value)))

struct segments {
  uint16_t cs, ss, ds, es, fs, gs;
};
static const struct segments SEGMENTS64 = {0x33, 0x2b, 0x2b, 0x2b, 0, 0};
static const struct segments SEGMENTS32 = {0x23, 0x2b, 0x2b, 0x2b, LDT_SELECTOR(2), LDT_SELECTOR(3)};
static const struct segments SEGMENTS16 = {LDT_SELECTOR(0), LDT_SELECTOR(1), LDT_SELECTOR(1),
                                           LDT_SELECTOR(1), LDT_SELECTOR(4), LDT_SELECTOR(5)};

static const struct segments *segments_of(uint32_t mode) {
  return mode == 64 ? &SEGMENTS64 : mode == 32 ? &SEGMENTS32 : &SEGMENTS16;
}

/* The data segment registers are not in the signal frame: they keep what the last case left. */
static void load_segments(uint32_t mode) {
  const struct segments *s = segments_of(mode);
  if (READ_SEGMENT("ds") != s->ds) LOAD_SEGMENT("ds", s->ds);
  if (READ_SEGMENT("es") != s->es) LOAD_SEGMENT("es", s->es);
  if (mode == 64) {
    if (READ_SEGMENT("fs") != 0) LOAD_SEGMENT("fs", 0);
    if (READ_SEGMENT("gs") != 0) LOAD_SEGMENT("gs", 0);
    __asm__ volatile("wrfsbase %0" : : "r"(FS64));
    __asm__ volatile("wrgsbase %0" : : "r"(GS64));
  } else {
    LOAD_SEGMENT("fs", s->fs);
    LOAD_SEGMENT("gs", s->gs);
  }
}

static void load_case(ucontext_t *context) {
  greg_t *gregs = context->uc_mcontext.gregs;
  uint8_t *fx = (uint8_t *)context->uc_mcontext.fpregs;
  fill(code_view + START, INT3, CODE_BYTES);
  copy(code_view + START, current.code, current.length);
  copy(data_view + WINDOW, current.window, WINDOW_SIZE);
  copy((uint8_t *)before + WINDOW, current.window, WINDOW_SIZE);
  for (int i = 0; i < 16; i++) gregs[GREGS[i]] = current.image.gpr[i];
  gregs[REG_EFL] = current.image.rflags;
  gregs[REG_RIP] = current.mode == 64 ? HIGH + CODE + START : current.mode == 32 ? CODE + START : START;
  const struct segments *s = segments_of(current.mode);
  gregs[REG_CSGSFS] = (uint64_t)s->cs | (uint64_t)s->ss << 48;
  uint32_t mask;
  copy(&mask, fx + 28, 4);
  copy(fx, current.image.fx, sizeof current.image.fx);
  copy(fx + 28, &mask, 4);
  *(uint64_t *)(fx + 512) |= 3; /* XSTATE_BV: x87 and SSE are not in their initial state */
  load_segments(current.mode);
  running = 1;
  sequence++;
}

/* Appends one run of changed bytes to the output and undoes it in the data pages. */
static void save_run(size_t from, size_t to) {
  uint16_t head[2] = {from, to - from};
  copy(output + output_end, head, 4);
  copy(output + output_end + 4, data_view + from, to - from);
  output_end += 4 + to - from;
  copy(data_view + from, (uint8_t *)before + from, to - from);
}

/* Changed bytes that are less than four apart share a run. */
static int save_memory(void) {
  const uint64_t *now = (uint64_t *)data_view;
  const uint8_t *old = (uint8_t *)before;
  size_t first = 0, last = 0;
  int runs = 0;
  for (size_t word = 0; word < DATA_SIZE / 8; word++) {
    if (now[word] == before[word]) continue;
    for (size_t i = word * 8; i < word * 8 + 8; i++) {
      if (data_view[i] == old[i]) continue;
      if (last != 0 && i - last >= 4) {
        save_run(first, last);
        runs++;
        last = 0;
      }
      if (last == 0) first = i;
      last = i + 1;
    }
  }
  if (last != 0) {
    save_run(first, last);
    runs++;
  }
  return runs;
}

static void save_case(int signal, const siginfo_t *info, const ucontext_t *context) {
  const greg_t *gregs = context->uc_mcontext.gregs;
  if (sizeof output - output_end < sizeof(struct result) + 4 * DATA_SIZE) flush();
  size_t at = output_end;
  struct result *r = (struct result *)(output + at);
  output_end += sizeof *r;
  r->vector = gregs[REG_TRAPNO];
  r->error = gregs[REG_ERR];
  r->signal = signal;
  r->address = r->vector == 14 ? gregs[REG_CR2] : 0;
  r->image.rip = gregs[REG_RIP];
  if (signal == SIGVTALRM) r->vector = TIMED_OUT;
  if (signal == SIGSYS) r->vector = SYSTEM_CALL;
  if (signal == SIGTRAP && r->vector == 3) {
    r->vector = COMPLETED;
    r->image.rip--;
  }
  if (r->vector >= COMPLETED) r->error = 0;
  r->cs = gregs[REG_CSGSFS];
  r->ss = (uint64_t)gregs[REG_CSGSFS] >> 48;
  r->ds = READ_SEGMENT("ds");
  r->es = READ_SEGMENT("es");
  r->fs = READ_SEGMENT("fs");
  r->gs = READ_SEGMENT("gs");
  __asm__ volatile("rdfsbase %0" : "=r"(r->fs_base));
  __asm__ volatile("rdgsbase %0" : "=r"(r->gs_base));
  for (int i = 0; i < 16; i++) r->image.gpr[i] = gregs[GREGS[i]];
  r->image.rflags = gregs[REG_EFL];
  copy(r->image.fx, context->uc_mcontext.fpregs, sizeof r->image.fx);
  r->reserved = 0;
  r->runs = save_memory();
  while (output_end % 8 != 0) output[output_end++] = 0;
  r->size = output_end - at;
  (void)info;
}

__attribute__((used)) static void on_signal(int signal, siginfo_t *info, ucontext_t *context) {
  if (signal == SIGVTALRM && (!running || sequence != sequence_at_tick)) {
    sequence_at_tick = sequence;
    return;
  }
  if (running) save_case(signal, info, context);
  running = 0;
  next_case();
  load_case(context);
}

/* The kernel enters a handler with the AC, NT and ID flags of the case: clear them before any C code. */
__asm__("signal_entry:\n"
        "  pushq $0x202\n"
        "  popfq\n"
        "  jmp on_signal\n");
void signal_entry(int, siginfo_t *, void *);

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void map_at(uint64_t address, int fd, size_t offset, size_t size, int protection) {
  void *p = mmap((void *)address, size, protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, offset);
  if (p != (void *)address) fail("mmap");
}

static void map_pages(void) {
  size_t total = CODE_SIZE + DATA_SIZE + READ_ONLY_SIZE;
  int fd = memfd_create("cases", 0);
  if (fd < 0 || ftruncate(fd, total) < 0) fail("memfd");
  code_view = mmap(0, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (code_view == MAP_FAILED) fail("mmap");
  data_view = code_view + CODE_SIZE;
  fill(code_view, INT3, CODE_SIZE);
  for (size_t i = 0; i < DATA_SIZE + READ_ONLY_SIZE; i++) data_view[i] = i * 167 >> 3; /* backgroundByte in layout.ts */
  copy(before, data_view, DATA_SIZE);
  for (uint64_t high = 0; high <= HIGH; high += HIGH) {
    map_at(high + CODE, fd, 0, CODE_SIZE, PROT_READ | PROT_EXEC);
    map_at(high + DATA, fd, CODE_SIZE, DATA_SIZE, PROT_READ | PROT_WRITE);
    map_at(high + DATA + DATA_SIZE, fd, CODE_SIZE + DATA_SIZE, READ_ONLY_SIZE, PROT_READ);
  }
}

static void set_descriptor(int entry, uint64_t base, uint32_t limit, int contents, int is32) {
  struct user_desc d = {.entry_number = entry, .base_addr = base, .limit = limit, .seg_32bit = is32,
                        .contents = contents, .limit_in_pages = is32, .useable = 1};
  if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) != 0) fail("modify_ldt");
}

static void set_descriptors(void) {
  set_descriptor(0, CODE, 0xffff, MODIFY_LDT_CONTENTS_CODE, 0);
  set_descriptor(1, BASE16, 0xffff, MODIFY_LDT_CONTENTS_DATA, 0);
  set_descriptor(2, FS32, 0xfffff, MODIFY_LDT_CONTENTS_DATA, 1);
  set_descriptor(3, GS32, 0xfffff, MODIFY_LDT_CONTENTS_DATA, 1);
  set_descriptor(4, FS16, 0xffff, MODIFY_LDT_CONTENTS_DATA, 0);
  set_descriptor(5, GS16, 0xffff, MODIFY_LDT_CONTENTS_DATA, 0);
}

static void set_handlers(void) {
  stack_t stack = {.ss_size = 1 << 18};
  stack.ss_sp = mmap(0, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, 0) != 0) fail("sigaltstack");
  struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGVTALRM};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction(signals[i], &action, 0) != 0) fail("sigaction");
  /* A case that is still running at two successive ticks of its own CPU time is abandoned. */
  struct itimerval tick = {{0, 20000}, {0, 20000}};
  if (setitimer(ITIMER_VIRTUAL, &tick, 0) != 0) fail("setitimer");
}

/* No case can call the kernel: system calls from the pages of the cases raise SIGSYS instead. */
static void forbid_system_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HIGH >> 32, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("seccomp");
}

int main(void) {
  if (!(getauxval(AT_HWCAP2) & 2)) {
    fprintf(stderr, "this kernel does not offer the FSGSBASE instructions\n");
    return 2;
  }
  map_pages();
  set_descriptors();
  set_handlers();
  forbid_system_calls();
  raise(SIGTRAP);
  return 1;
}
