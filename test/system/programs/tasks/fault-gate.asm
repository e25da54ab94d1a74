; An exception through a task gate: the error code is on the new task's stack, the back link leads to where it happened
; (SDM vol. 3A 6.12.2).
;
; mode: protected32
; steps: 2
; expect:
;   1: = 00000000
;   1: = 00000004
;   1: = 00000000
;   1: = 00000048
;   2: = 00000000
;   2: = 00000000
%include "runtime.inc"

OTHER           equ SPARE

main:
        set_descriptor OTHER, task2, 0x67, 0x0089
        set_gate 13, OTHER, 0, 0x8500
        set_gate 8, OTHER, 0, 0x8500
        mov edi, task2
        mov dword [edi + 0x20], other
        mov dword [edi + 0x24], 2
        mov dword [edi + 0x38], IST1_STACK
        mov dword [edi + 0x4c], CODE32
        mov dword [edi + 0x50], DATA32
        mov eax, USER_DATA32
        mov [edi + 0x48], eax
        mov [edi + 0x54], eax
        mov dword [edi + 0x64], 0x680000
        mov dword [step], 1
        xor eax, eax
        mov es, ax
faulting:
        mov al, [es:0]
after_fault:
        clts
        mov eax, USER_DATA32
        mov es, ax

; A double fault with no stack left: the reason that task gates exist.
        mov dword [step], 2
        set_gate 13, CODE32, number_of(main), 0x0e00
        mov dword [task2 + 0x20], double
        mov dword [task2 + 0x38], IST1_STACK
        mov esp, 0
        mov ax, 0xfff8
        mov es, ax
after_double:
        finish

other:
        note dword [esp]
        mov eax, IST1_STACK
        sub eax, esp
        note eax
        mov eax, [task + 0x20]
        sub eax, number_of(faulting)
        note eax
        movzx eax, word [task2]
        note eax
        mov dword [task + 0x20], after_fault
        add esp, 4
        iretd

double:
        note dword [esp]
        mov eax, [task + 0x38]
        note eax
        mov dword [task + 0x20], after_double
        mov dword [task + 0x38], KERNEL_STACK
        add esp, 4
        iretd
