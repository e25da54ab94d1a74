; DR0 to DR3: execution (a fault, before), writes and reads-or-writes (traps, after), lengths, RF, local and global
; enabling, what DR6 shows (SDM vol. 3A 17.2, 17.3.1).
;
; mode: long64
; steps: 16
; expect:
;   1: #DB
;   1: = 0000000000000001
;   1: = 00000000ffff0ff1
;   2: #DB +7
;   2: = 00000000ffff0ff2
;   4: #DB +8
;   4: = 00000000ffff0ff2
;   5: #DB +7
;   5: = 00000000ffff0ff2
;   6: #DB +7
;   6: = 00000000ffff0ff4
;   7: #DB +7
;   7: = 00000000ffff0ff4
;   8: #DB +7
;   8: = 00000000ffff0ff8
;   9: #DB +7
;   9: = 0000000000000003
;   10: #DB +1
;   10: = 00000000ffff0ff1
;   11: #DB
;   11: = 0000000000000003
;   11: = 00000000ffff0ff1
;   12: #DB +8
;   12: = 00000000ffff0ff1
;   13: #PF(0003) cr2=00180000
;   13: = 00000000ffff0ff0
;   14: = 00000000ffff0ff0
;   15: #DB
;   15: = 00000000ffff2ff0
;   15: = 0000000000000400
;   16: #DB +1
;   16: = 00000000ffff0ff0
%include "runtime.inc"

; arm register number, address, RW and LEN bits (LEN << 2 | RW); the register is enabled locally.
%macro arm 3
        mov eax, %2
        mov dr%1, rax
        mov rax, dr7
        and eax, ~(0xf << (16 + %1 * 4))
        or eax, (%3) << (16 + %1 * 4) | 1 << (%1 * 2)
        mov dr7, rax
%endmacro

%macro disarm 0
        mov eax, 0x400
        mov dr7, rax
%endmacro

; Notes DR6 and clears it.
%macro show 0
        mov rax, dr6
        note rax
        xor eax, eax
        mov dr6, rax
%endmacro

EXECUTE         equ 0
WRITE1          equ 1
WRITE2          equ 5
WRITE4          equ 13
WRITE8          equ 9
ACCESS1         equ 3
ACCESS4         equ 15

main:
; Execution: before the instruction; the handler sets RF to get past it.
        mov dword [hook], set_resume_flag
        arm 0, .here, EXECUTE
        begin_step 1, .here, 0
        xor ebx, ebx
.here:  inc ebx
        note rbx
        show
        disarm

; Writes: after the instruction that did it.
        arm 1, FREE, WRITE4
        mov eax, [FREE]                 ; a read is none
        try 2, mov [FREE + 3], al
        show
        try 3, mov [FREE + 4], al       ; past it
        try 4, mov [FREE - 7], rax      ; ends in it
        show
        try 5, inc dword [FREE]
        show
        disarm

; Reads or writes.
        arm 2, FREE + 8, ACCESS1
        try 6, mov al, [FREE + 8]
        show
        try 7, mov [FREE + 8], al
        show
        disarm

; 8 bytes.
        arm 3, FREE + 0x10, WRITE8
        try 8, mov [FREE + 0x17], al
        show
        disarm

; Two at once, and one that matches but is not enabled: its bit shows too.
        arm 0, FREE, WRITE4
        arm 1, FREE, WRITE1
        arm 2, FREE, WRITE1
        mov rax, dr7
        and eax, ~0x30
        mov dr7, rax
        try 9, mov [FREE], al
        mov rax, dr6
        and eax, 0xf & ~4               ; that it does is not promised
        note rax
        xor eax, eax
        mov dr6, rax
        disarm

; A push, a string move (after each iteration), a descriptor's accessed bit.
        arm 0, KERNEL_STACK - 8, WRITE8
        begin_step 10, .push, 0
.push:  push rax
        pop rax
        disarm
        show
        mov dword [hook], show_count
        arm 0, FREE + 0x102, WRITE1
        mov esi, FREE
        mov edi, FREE + 0x100
        mov ecx, 6
        try 11, rep movsb
        mov dword [hook], 0
        show
        disarm

; MOV SS holds a data breakpoint's trap back: after the next instruction.
        mov dword [SCRATCH], DATA32
        arm 0, SCRATCH, ACCESS4
        begin_step 12, .mov_ss, 0
.mov_ss:
        mov ss, [SCRATCH]
        nop
        nop
        show
        disarm

; A faulting write does not trap.
        map PAGES, PAGES | 5
        invlpg [PAGES]
        arm 0, PAGES, WRITE4
        try 13, mov [PAGES], eax
        show
        disarm

; Execution with a length is undefined; a data breakpoint on code sees no fetch.
        arm 0, .fetched, ACCESS1
        begin_step 14, .fetched, 0
.fetched:
        nop
        show
        disarm

; GD: any move to or from a debug register faults, and is cleared for the handler.
        mov eax, 0x2400
        mov dr7, rax
        mov dword [hook], clear_resume
        try 15, mov rax, dr0
        mov dword [hook], 0
        show
        mov rax, dr7
        note rax

; ICEBP: a #DB like a trap, that shows nothing in DR6 and heeds no DPL.
        begin_step 16, .icebp, 0
.icebp: db 0xf1
        show
        finish

set_resume_flag:
        or dword [rsi + 32], 1 << 16
        ret

show_count:
        mov rax, [rsp + 8 + 24]
        note rax
        ret

; The recorder does not give a step up for #DB: done here, since the instruction is to be left out.
clear_resume:
        mov eax, [resume]
        mov [rsi + 16], rax
        ret
