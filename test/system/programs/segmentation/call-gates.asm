; Call gates: to the same privilege, to an inner one with parameters copied from the outer stack, 16- and 32-bit, and every
; way for one to be refused (SDM vol. 3A 5.8.2 to 5.8.6).
;
; mode: protected32
; steps: 20
; expect:
;   1: = 00000008
;   1: = 00000000
;   3: = 00000008
;   3: = 00000010
;   3: = 0000001c
;   3: = 00000033
;   3: = 00000011
;   3: = 00000022
;   3: = 00000033
;   3: = 0000003b
;   3: = fffffff4
;   4: = 0000000c
;   4: = 00000033
;   4: = 77776666
;   4: = 0000003b
;   4: = fffffffc
;   5: #GP(0078) cs=0033
;   6: #GP(0078) cs=0033
;   7: #NP(0080) cs=0033
;   8: #GP(0010) cs=0033
;   9: #GP(0000) cs=0033
;   10: #NP(00b8) cs=0033
;   11: #GP(0000) cs=0033
;   12: = 000000b3
;   12: = 00000099
;   13: #GP(0008) cs=0033
;   14: #GP(0008) cs=0033
;   15: #GP(0048) cs=0033
;   16: #TS(0000) cs=0033
;   17: #TS(0038) cs=0033
;   18: #SS(00d8) cs=0033
;   19: #SS(00e0) cs=0033
;   20: = 000000c9
;   20: = 000000d1
;   20: = 0000003b
%include "runtime.inc"

SAME            equ SPARE               ; DPL 0
INNER           equ SPARE + 0x08 | 3    ; DPL 3, 3 parameters
INNER16         equ SPARE + 0x10 | 3    ; a 16-bit gate with 2 parameters
LOW_DPL         equ SPARE + 0x18        ; DPL 0
ABSENT          equ SPARE + 0x20 | 3
TO_DATA         equ SPARE + 0x28 | 3
TO_NULL         equ SPARE + 0x30 | 3
TO_ABSENT       equ SPARE + 0x38 | 3
TO_CONFORMING   equ SPARE + 0x40 | 3
BEYOND          equ SPARE + 0x48 | 3    ; offset past the code segment's limit
CONFORMING      equ SPARE + 0x50
CODE_ABSENT     equ SPARE + 0x58
CODE_SMALL      equ SPARE + 0x60
CODE1           equ SPARE + 0x68
DATA1           equ SPARE + 0x70
DATA1_ABSENT    equ SPARE + 0x78
DATA1_SMALL     equ SPARE + 0x80
TO_LEVEL1       equ SPARE + 0x88 | 3

main:
        set_call_gate SAME, CODE32, number_of(same), 0x8c00
        set_call_gate INNER, CODE32, number_of(inner), 0xec03
        set_call_gate INNER16, CODE32, number_of(inner16), 0xe402
        set_call_gate LOW_DPL, CODE32, number_of(same), 0x8c00
        set_call_gate ABSENT, CODE32, number_of(same), 0x6c00
        set_call_gate TO_DATA, DATA32, number_of(same), 0xec00
        set_call_gate TO_NULL, 0, number_of(same), 0xec00
        set_call_gate TO_ABSENT, CODE_ABSENT, number_of(same), 0xec00
        set_call_gate TO_CONFORMING, CONFORMING, number_of(conforming), 0xec01
        set_call_gate BEYOND, CODE_SMALL, 0x1000, 0xec00
        set_descriptor CONFORMING, 0, 0xfffff, 0xc09f
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xc01b
        set_descriptor CODE_SMALL, 0, 0xfff, 0x409b

; Same privilege: the offset of the instruction is of no matter, the return address is as of a far call.
        mov ebx, esp
        begin_step 1, 0, 0
        call SAME:0x12345678
        sub ebx, esp
        note ebx
        begin_step 2, 0, 0
        jmp SAME:0
after_jump:
        user outer

; The inner stack comes from the TSS. Level 1 is used, so that the exceptions find a good stack at level 0.
        set_descriptor CODE1, 0, 0xfffff, 0xc0bb
        set_descriptor DATA1, 0, 0xfffff, 0xc0b3
        set_descriptor DATA1_ABSENT, 0, 0xfffff, 0xc033
        set_descriptor DATA1_SMALL, 0, 0xf, 0x40b3
        set_call_gate TO_LEVEL1, CODE1, number_of(level1), 0xec00
        mov dword [task + 12], IST1_STACK
        user outer1
        finish

; Entered from level 0 by CALL (step 1) and by JMP (step 2).
same:
        cmp dword [step], 2
        je after_jump
        mov eax, [esp + 4]
        note eax
        retf

outer:
        mov dword [step], 3
        push dword 0x33
        push dword 0x22
        push dword 0x11
        mov ebx, esp
        call INNER:0
        sub ebx, esp
        note ebx                        ; RETF 12 took them off both stacks
        mov dword [step], 4
        push word 0x7777
        push word 0x6666
        mov ebx, esp
        call INNER16:0
        sub ebx, esp
        note ebx
        try 5, call LOW_DPL:0
        try 6, call LOW_DPL | 3:0
        try 7, call ABSENT:0
        try 8, call TO_DATA:0
        try 9, call TO_NULL:0
        try 10, call TO_ABSENT:0
        try 11, call BEYOND:0
        mov dword [step], 12
        push dword 0x99
        call TO_CONFORMING:0            ; stays at level 3: no stack switch, no parameters copied
        add esp, 4
        try 13, jmp INNER:0             ; a jump cannot go inward
        try 14, call CODE32:0
        try 15, jmp TASK:0
        kernel

; Level 0, with SS:ESP of the TSS: EIP, CS, three parameters, ESP, SS.
inner:
        mov eax, cs
        note eax
        mov eax, ss
        note eax
        mov eax, RING0_STACK
        sub eax, esp
        note eax
        note dword [esp + 4]
        note dword [esp + 8]
        note dword [esp + 12]
        note dword [esp + 16]
        note dword [esp + 24]
        retf 12

; A 16-bit gate: words.
inner16:
        mov eax, RING0_STACK
        sub eax, esp
        note eax
        movzx eax, word [esp + 2]
        note eax
        note dword [esp + 4]
        movzx eax, word [esp + 10]
        note eax
        o16 retf 4

conforming:
        mov eax, cs
        note eax
        note dword [esp + 8]
        retf

outer1:
        mov dword [task + 16], 0
        try 16, call TO_LEVEL1:0
        mov dword [task + 16], USER_DATA32
        try 17, call TO_LEVEL1:0
        mov dword [task + 16], DATA1_ABSENT | 1
        try 18, call TO_LEVEL1:0
        mov dword [task + 16], DATA1_SMALL | 1
        try 19, call TO_LEVEL1:0
        mov dword [task + 16], DATA1 | 1
        mov dword [step], 20
        call TO_LEVEL1:0
        kernel

level1:
        mov eax, cs
        note eax
        mov eax, ss
        note eax
        note dword [IST1_STACK - 4]
        retf
