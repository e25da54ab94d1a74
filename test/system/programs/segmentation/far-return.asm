; RETF and IRET to an outer level: data segments that the outer level may not use become null, stack and flags follow the
; rules, and what must not be returned to is refused (SDM vol. 3A 5.8.6, vol. 2 RET and IRET).
;
; mode: protected32
; steps: 16
; expect:
;   1: = 00000000
;   1: = 00000060
;   1: = 00000000
;   1: = 0000003b
;   1: = 00000033
;   1: = 00000000
;   2: #GP(0000)
;   3: #GP(0010)
;   4: #GP(0030)
;   5: #NP(0070)
;   6: #GP(0000)
;   7: #GP(0010)
;   8: #SS(0078)
;   9: #GP(0030)
;   10: #GP(0000)
;   11: #NP(0070)
;   12: = 00243cd7
;   12: = 00003202
;   13: #GP(0008) cs=0033
;   14: #GP(0008) cs=0033
;   15: = fffffff4
;   16: = fffffffa
%include "runtime.inc"

CONFORMING      equ SPARE               ; readable, DPL 0
DATA2           equ SPARE + 0x08
CODE_ABSENT     equ SPARE + 0x10
STACK_ABSENT    equ SPARE + 0x18

; far_frame cs, eip, ss, esp: what RETF to an outer level pops.
%macro far_frame 4
        push dword %3
        push dword %4
        push dword %1
        push dword %2
%endmacro

; iret_frame cs, eip, flags, ss, esp
%macro iret_frame 5
        push dword %4
        push dword %5
        push dword %3
        push dword %1
        push dword %2
%endmacro

main:
        set_descriptor CONFORMING, 0, 0xfffff, 0xc09f
        set_descriptor DATA2, 0, 0xfffff, 0xc0d3
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xc07b
        set_descriptor STACK_ABSENT, 0, 0xfffff, 0xc073

        mov [kernel_sp], esp
        mov dword [kernel_return], refusals
        mov eax, DATA2
        mov es, ax
        mov eax, CONFORMING
        mov fs, ax
        mov eax, DATA32
        mov gs, ax
        mov dword [step], 1
        far_frame USER_CODE32, outer, USER_DATA32, USER_STACK
        retf

outer:
        mov eax, es
        note eax
        mov eax, fs
        note eax
        mov eax, gs
        note eax
        mov eax, ds
        note eax
        mov eax, cs
        note eax
        mov eax, USER_STACK
        sub eax, esp
        note eax
        kernel

refusals:
        mov eax, USER_DATA32
        mov es, ax
        mov fs, ax
        mov gs, ax
        far_frame 0, outer, USER_DATA32, USER_STACK
        try 2, retf
        mov esp, KERNEL_STACK
        far_frame DATA32, outer, USER_DATA32, USER_STACK
        try 3, retf
        mov esp, KERNEL_STACK
        far_frame USER_CODE32 & ~3, outer, USER_DATA32, USER_STACK      ; DPL is not RPL
        try 4, retf
        mov esp, KERNEL_STACK
        far_frame CODE_ABSENT | 3, outer, USER_DATA32, USER_STACK
        try 5, retf
        mov esp, KERNEL_STACK
        far_frame USER_CODE32, outer, 0, USER_STACK
        try 6, retf
        mov esp, KERNEL_STACK
        far_frame USER_CODE32, outer, DATA32, USER_STACK
        try 7, retf
        mov esp, KERNEL_STACK
        far_frame USER_CODE32, outer, STACK_ABSENT | 3, USER_STACK
        try 8, retf
        mov esp, KERNEL_STACK
        far_frame USER_CODE32, outer, USER_CODE32, USER_STACK
        try 9, retf

; IRET: the same, and EFLAGS. Level 0 may set IOPL and IF.
        mov esp, KERNEL_STACK
        iret_frame USER_CODE32, outer, 2, 0, USER_STACK
        try 10, iretd
        mov esp, KERNEL_STACK
        iret_frame CODE_ABSENT | 3, outer, 2, USER_DATA32, USER_STACK
        try 11, iretd
        mov esp, KERNEL_STACK
        mov [kernel_sp], esp
        mov dword [kernel_return], inward
        mov dword [step], 12
        iret_frame USER_CODE32, flags, 0x3ed7 | 1 << 18 | 1 << 21, USER_DATA32, USER_STACK
        and dword [esp + 8], ~0x100     ; no single steps
        and dword [esp + 8], ~0x200
        iretd

flags:
        pushfd
        pop eax
        note eax
; Level 3 cannot change IOPL; with IOPL 3 it may change IF.
        push dword 0x0202
        popfd
        pushfd
        cli
        pop eax
        note eax
; Inward: RETF and IRET never.
        push dword CODE32
        push dword outer
        try 13, retf
        pushfd
        push dword CODE32
        push dword outer
        try 14, iretd
        push dword 0x3002
        push dword USER_CODE32
        push dword .same
        mov ebx, esp
        mov dword [step], 15
        iretd
.same:
        sub ebx, esp
        note ebx
        kernel

inward:
; A 16-bit IRET pops words.
        push word 2
        push word CODE32
        push word .words
        mov ebx, esp
        mov dword [step], 16
        o16 iret
        nop
.words:
        sub ebx, esp
        note ebx
        finish
