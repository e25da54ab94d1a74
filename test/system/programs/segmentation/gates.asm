; Interrupt and trap gates: what they push and clear, privilege, presence, DPL for INT n, conforming handlers, gates of
; 286 style (SDM vol. 3A 6.11, 6.12).
;
; mode: protected32
; steps: 18
; expect:
;   1: = 00003446
;   1: = 00000008
;   1: = 00000008
;   1: = 00003646
;   2: = 00003646
;   2: = 00000008
;   2: = 00000008
;   2: = 00003646
;   3: = 00003446
;   3: = 00000008
;   3: = 00000008
;   3: = 00007446
;   4: #NP(029a)
;   5: #GP(0000)
;   6: #GP(0010)
;   7: #NP(0068)
;   8: #GP(0030)
;   9: #GP(0000)
;   10: = 00000008
;   10: = 00000002
;   11: #GP(02da)
;   12: #GP(0400)
;   13: #GP(07fa)
;   14: #GP(0302)
;   15: = 00000002
;   15: = 00000008
;   15: = 00000033
;   15: = 00000002
;   15: = 00000014
;   15: = 00007800
;   16: #GP(0282) cs=0033
;   17: = 00000002
;   17: = 00000063
;   17: = 00000033
;   17: = 00000002
;   18: = 00000002
;   18: = 00000033
;   18: = 00000033
;   18: = 00000002
%include "runtime.inc"

CONFORMING      equ SPARE
CODE_ABSENT     equ SPARE + 8
CODE_SMALL      equ SPARE + 0x10

main:
        set_descriptor CONFORMING, 0, 0xfffff, 0xc09f
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xc01b
        set_descriptor CODE_SMALL, 0, 0xfff, 0x409b
        set_gate 0x50, CODE32, number_of(handler), 0x8e00       ; interrupt gate
        set_gate 0x51, CODE32, number_of(handler), 0x8f00       ; trap gate
        set_gate 0x52, CODE32, number_of(handler), 0xee00       ; for users
        set_gate 0x53, CODE32, number_of(handler), 0x6e00       ; not present
        set_gate 0x54, 0, number_of(handler), 0xee00            ; null selector
        set_gate 0x55, DATA32, number_of(handler), 0xee00
        set_gate 0x56, CODE_ABSENT, number_of(handler), 0xee00
        set_gate 0x57, USER_CODE32, number_of(handler), 0xee00  ; outward from level 0
        set_gate 0x58, CONFORMING, number_of(handler), 0xee00
        set_gate 0x59, CODE_SMALL, 0x2000, 0xee00
        set_gate 0x5a, CODE32, number_of(handler16), 0x8600     ; 16-bit interrupt gate
        set_gate 0x5b, CODE32, number_of(handler), 0xec00       ; a call gate does not belong here
        set_gate 0x5c, GDT_LIMIT + 1, number_of(handler), 0xee00

        push dword 0x3646               ; with IF, IOPL 3
        popfd
        begin_step 1, 0, 0
        int 0x50
        begin_step 2, 0, 0
        int 0x51
        cli
        pushfd
        or dword [esp], 0x4100          ; NT and TF are clear in the handler
        and dword [esp], ~0x100
        popfd
        begin_step 3, 0, 0
        int 0x50
        push dword 2
        popfd
        try 4, int 0x53
        try 5, int 0x54
        try 6, int 0x55
        try 7, int 0x56
        try 8, int 0x57
        try 9, int 0x59
        begin_step 10, 0, 0
        int 0x5a
        try 11, int 0x5b
        try 12, int 0x5c
        try 13, int 0xff                ; an empty entry
        mov word [idt_pointer], 0x5f * 8 + 7
        lidt [idt_pointer]
        try 14, int 0x60
        user outer
        finish

outer:
        begin_step 15, 0, 0
        int 0x52
        try 16, int 0x50
        begin_step 17, 0, 0
        int 0x58                        ; a conforming handler keeps level 3
        try 18, int 0x57
        kernel

; Notes CS, the flags it runs with, the saved CS and EFLAGS, the bytes used on the stack if that was switched.
handler:
        pushfd
        pop eax
        note eax
        mov eax, cs
        note eax
        movzx eax, word [esp + 4]
        note eax
        note dword [esp + 8]
        mov eax, RING0_STACK
        sub eax, esp
        cmp eax, 0x100
        jae .same
        note eax
        note dword [esp + 12]
.same:
        and dword [esp + 8], ~0x4000
        pushfd
        and dword [esp], ~0x4000        ; IRET with NT set would be a task switch
        popfd
        iretd

handler16:
        movzx eax, word [esp + 2]
        note eax
        movzx eax, word [esp + 4]
        note eax
        o16 iret
