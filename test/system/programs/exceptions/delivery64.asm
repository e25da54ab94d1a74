; Faults in the delivery of exceptions in long mode: a page fault on the stack, an IST in an absent page, a double fault by
; its own IST, the EXT bit (SDM vol. 3A 6.13 to 6.15).
;
; mode: long64
; steps: 7
; expect:
;   1: #PF(0002) cr2=001807f8
;   2: #PF(0002) cr2=001807f8
;   3: #PF(0002) cr2=001807f8
;   4: #DF(0000)
;   5: #NP(0080)
;   6: #NP(0081)
;   7: #DF(0000)
%include "runtime.inc"

ABSENT          equ 0x80

main:
        mov word [idt + 14 * 16 + 4], 0x8e01    ; #PF on IST 1
        mov word [idt + 8 * 16 + 4], 0x8e02     ; #DF on IST 2
        map PAGES, 0
        invlpg [PAGES]
        mov rbp, rsp

; A benign exception, then the page fault of its delivery: a page fault, error code of a write by level 0.
        mov rsp, PAGES + 0x800
        try 1, int3
        mov rsp, PAGES + 0x800
        try 2, ud2
; Contributory, then page fault: a page fault.
        mov rsp, PAGES + 0x800
        mov rbx, 0x800000000000
        try 3, mov al, [rbx]
; Page fault, then page fault: a double fault.
        mov qword [task + 36], PAGES + 0x800
        mov rsp, rbp
        try 4, mov al, [PAGES]
        mov qword [task + 36], IST1_STACK

; EXT: the gate's code segment is absent.
        set_descriptor ABSENT, 0, 0xfffff, 0xa01b
        set_gate 0x20, ABSENT, number_of(main), 0x8e00
        try 5, int 0x20
        set_gate 6, ABSENT, number_of(main), 0x8e00
        try 6, ud2
; #NP while #GP is delivered.
        set_gate 13, ABSENT, number_of(main), 0x8e00
        try 7, mov al, [rbx]
        finish
