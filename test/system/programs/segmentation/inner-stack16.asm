; The inner stack from a 16-bit TSS: SP0 and SS0 are words (SDM vol. 3A 7.6, 6.12.1).
;
; mode: protected32
; steps: 3
; expect:
;   1: = 00000079
;   1: = 00000010
;   2: #BP +1 cs=0033
;   3: #GP(0000) cs=0033
%include "runtime.inc"

TSS16           equ SPARE
CODE1           equ SPARE + 0x10
DATA1           equ SPARE + 0x18
GATE            equ SPARE + 0x20 | 3

main:
        set_descriptor TSS16, task2, 0x2b, 0x0081
        set_descriptor CODE1, 0, 0xfffff, 0xc0bb
        set_descriptor DATA1, 0, 0xfffff, 0xc0b3
        set_call_gate GATE, CODE1, number_of(inner), 0xec00
        mov word [task2 + 2], RING0_STACK
        mov word [task2 + 4], DATA32
        mov word [task2 + 6], IST1_STACK
        mov word [task2 + 8], DATA1 | 1
        mov eax, TSS16
        ltr ax
        user outer
        finish

outer:
        mov dword [step], 1
        call GATE:0
        try 2, int3
; Without an I/O bitmap in a 16-bit TSS.
        try 3, in al, 0xe0
        kernel

inner:
        mov eax, ss
        note eax
        mov eax, IST1_STACK
        sub eax, esp
        note eax
        retf
