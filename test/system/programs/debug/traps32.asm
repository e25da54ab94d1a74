; Debug exceptions in protected mode: INTO, BOUND, the T bit of a TSS, single steps over far transfers and into a task,
; code breakpoints under a fault (SDM vol. 3A 17.3).
;
; mode: protected32
; steps: 9
; expect:
;   2: #OF +1
;   4: #BR
;   5: #BR
;   6: #BP +1 cs=0033
;   6: #DB +2 cs=0033
;   6: #GP(000a) +2 cs=0033
;   7: #DB
;   7: = ffff8ff0
;   8: #DB +13
;   8: #DB +7
;   8: #DB +8
;   8: #DB +9
;   8: #DB +10
;   8: #DB +11
;   9: #DB
;   9: #UD
%include "runtime.inc"

OTHER           equ SPARE

main:
        mov al, 0x7f
        try 1, into
        add al, 1
        try 2, into
        mov dword [SCRATCH], -5
        mov dword [SCRATCH + 4], 10
        mov eax, 10
        try 3, bound eax, [SCRATCH]
        mov eax, -6
        try 4, bound eax, [SCRATCH]
        mov eax, 11
        try 5, bound eax, [SCRATCH]
        user outer

; The T bit of the new task's TSS: a trap before its first instruction, with BT in DR6.
        set_descriptor OTHER, task2, 0x67, 0x0089
        mov edi, task2
        mov dword [edi + 0x20], other
        mov dword [edi + 0x24], 2
        mov dword [edi + 0x38], IST1_STACK
        mov dword [edi + 0x4c], CODE32
        mov dword [edi + 0x50], DATA32
        mov dword [edi + 0x54], USER_DATA32
        mov dword [edi + 0x64], 0x680001
        begin_step 7, other, 0
        call OTHER:0
        xor eax, eax
        mov dr6, eax

; Stepping over a far call.
        begin_step 8, .call, 0
        pushfd
        or dword [esp], 0x100
        popfd
.call:  call CODE32:.routine
        nop
        pushfd
        and dword [esp], ~0x100
        popfd
        jmp .next
.routine:
        retf
.next:
; A breakpoint at an instruction that faults: first the breakpoint, then, resumed with RF, the fault.
        mov eax, .ud
        mov dr0, eax
        mov eax, 0x401
        mov dr7, eax
        mov dword [hook], set_resume_flag
        begin_step 9, .ud, .after
.ud:    ud2
.after:
        mov dword [hook], 0
        mov eax, 0x400
        mov dr7, eax
        finish

outer:
; INT3 and INTO by gates of level 3; INT 1 is refused where ICEBP is not.
        begin_step 6, .int3, .after_int1
.int3:  int3
        db 0xf1
        db 0xcd, 1
.after_int1:
        kernel

other:
        mov eax, dr6
        note eax
        iretd

set_resume_flag:
        or dword [esi + 16], 1 << 16
        ret
