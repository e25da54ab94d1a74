/*
 * The loop of a bytecode interpreter: one indirect jump an instruction, with a program that counts steps of the Collatz
 * sequence. A unit is the program for 64 start values.
 */
#include "integer.h"

enum opcode { PUSH, LOAD, STORE, ADD, MULTIPLY, AND, SHIFT_RIGHT, EQUAL, BRANCH_IF_ZERO, BRANCH, HALT };

enum { N, STEPS, TOTAL, FIRST, LAST, VARIABLES };

struct instruction {
  uint8_t opcode;
  uint8_t operand;
};

static const struct instruction program[] = {
    /* 0: next start value, or the end */
    {LOAD, FIRST}, {LOAD, LAST}, {EQUAL, 0}, {BRANCH_IF_ZERO, 5}, {HALT, 0},
    /* 5: n = first; steps = 0 */
    {LOAD, FIRST}, {STORE, N}, {PUSH, 0}, {STORE, STEPS},
    /* 9: while n != 1 */
    {LOAD, N}, {PUSH, 1}, {EQUAL, 0}, {BRANCH_IF_ZERO, 14}, {BRANCH, 32},
    /* 14: steps++ ; if n is odd */
    {LOAD, STEPS}, {PUSH, 1}, {ADD, 0}, {STORE, STEPS}, {LOAD, N}, {PUSH, 1}, {AND, 0}, {BRANCH_IF_ZERO, 28},
    /* 22: n = 3n + 1 */
    {LOAD, N}, {PUSH, 3}, {MULTIPLY, 0}, {PUSH, 1}, {ADD, 0}, {BRANCH, 30},
    /* 28: n = n / 2 */
    {LOAD, N}, {SHIFT_RIGHT, 1},
    /* 30: store, and round again */
    {STORE, N}, {BRANCH, 9},
    /* 32: total += steps; first++ */
    {LOAD, TOTAL}, {LOAD, STEPS}, {ADD, 0}, {STORE, TOTAL}, {LOAD, FIRST}, {PUSH, 1}, {ADD, 0}, {STORE, FIRST},
    {BRANCH, 0},
};

/* The program comes in as an argument so that the compiler cannot see it. */
static __attribute__((noipa)) uint64_t interpret(const struct instruction *code, uint64_t *variables) {
  uint64_t stack[16];
  uint64_t *top = stack;
  for (size_t pc = 0;;) {
    struct instruction at = code[pc++];
    switch ((enum opcode)at.opcode) {
      case PUSH: *++top = at.operand; break;
      case LOAD: *++top = variables[at.operand]; break;
      case STORE: variables[at.operand] = *top--; break;
      case ADD: top--; *top += top[1]; break;
      case MULTIPLY: top--; *top *= top[1]; break;
      case AND: top--; *top &= top[1]; break;
      case SHIFT_RIGHT: *top >>= at.operand; break;
      case EQUAL: top--; *top = *top == top[1]; break;
      case BRANCH_IF_ZERO: if (*top-- == 0) pc = at.operand; break;
      case BRANCH: pc = at.operand; break;
      case HALT: return variables[TOTAL];
    }
  }
}

uint64_t bytecode_run(size_t size, uint64_t units) {
  (void)size;
  uint64_t sum = 0;
  for (uint64_t unit = 0; unit < units; unit++) {
    uint64_t first = 1 + 64 * (unit & 15);
    uint64_t variables[VARIABLES] = {0, 0, 0, first, first + 64};
    sum = mix(sum, interpret(program, variables));
  }
  return sum;
}
