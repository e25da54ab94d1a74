/* Work that is mostly the operating system's: system calls, context switches, page faults, processes. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* A unit is 100 calls of getpid that reach the kernel. */
static uint64_t system_calls_run(size_t size, uint64_t units) {
  (void)size;
  long pid = getpid();
  uint64_t right = 0;
  for (uint64_t i = 0; i < units * 100; i++) right += syscall(SYS_getpid) == pid;
  return right;
}

static int to_child[2], from_child[2];

/* On a host with several processors the two would run side by side; what is measured is switching on one. */
static void stay_on_one_processor(void) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("sched_getaffinity");
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (!CPU_ISSET(i, &allowed)) continue;
    CPU_ZERO(&allowed);
    CPU_SET(i, &allowed);
    break;
  }
  if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) fail("sched_setaffinity");
}

static void echo(void) {
  uint8_t byte;
  close(to_child[1]);
  close(from_child[0]);
  while (read(to_child[0], &byte, 1) == 1) {
    byte++;
    if (write(from_child[1], &byte, 1) != 1) break;
  }
  _exit(0);
}

/* The child ends when this process does, because its pipe does then. */
static void context_switches_prepare(size_t size) {
  (void)size;
  stay_on_one_processor();
  if (pipe(to_child) != 0 || pipe(from_child) != 0) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) echo();
  close(to_child[0]);
  close(from_child[1]);
}

/* A unit is 10 bytes there and back, which is 20 switches. */
static uint64_t context_switches_run(size_t size, uint64_t units) {
  (void)size;
  uint8_t byte = 0;
  for (uint64_t i = 0; i < units * 10; i++) {
    if (write(to_child[1], &byte, 1) != 1 || read(from_child[0], &byte, 1) != 1) fail("pipe");
  }
  return byte;
}

/* A unit is a new mapping of `size` bytes, written once in each page, and its end. */
static uint64_t page_faults_run(size_t size, uint64_t units) {
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    uint8_t *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) fail("mmap");
    /* Huge pages would make one fault of 512; a kernel without them refuses, which is as good. */
    madvise(area, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096) sum += area[at]++ + 1;
    if (munmap(area, size) != 0) fail("munmap");
  }
  return sum;
}

/* A unit is fork, exec of this program, its end, and wait. */
static uint64_t processes_run(size_t size, uint64_t units) {
  (void)size;
  uint64_t right = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      execl(own_path, own_path, "nothing", "0", (char *)NULL);
      _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    right += status == 0;
  }
  return right;
}

const struct kernel system_kernels[] = {
    {"system-calls", NULL, system_calls_run, 0},
    {"context-switches", context_switches_prepare, context_switches_run, 0},
    {"page-faults", NULL, page_faults_run, 1 << 20},
    {"processes", NULL, processes_run, 0},
    {NULL, NULL, NULL, 0},
};
