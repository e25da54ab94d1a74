; Task switches that fail: before the switch in the old task, from the loads of the new segments on in the new one, with
; #TS, #NP, #SS and their selectors (SDM vol. 3A 7.3, table 7-1). The new task has no stack then, so task gates serve them.
;
; mode: protected32
; steps: 14
; expect:
;   1: #TS(0068)
;   2: #NP(0070)
;   3: #GP(0048)
;   4: #GP(0010)
;   5: = 0000000a
;   5: = 0000000c
;   5: = 00000060
;   6: = 0000000a
;   6: = 00000010
;   6: = 00000060
;   7: = 0000000a
;   7: = 00000010
;   7: = 00000060
;   8: = 0000000b
;   8: = 00000078
;   8: = 00000060
;   9: = 0000000c
;   9: = 00000080
;   9: = 00000060
;   10: = 0000000a
;   10: = 00000038
;   10: = 00000060
;   11: = 0000000b
;   11: = 00000088
;   11: = 00000060
;   12: = 0000000b
;   12: = 00000078
;   12: = 00000060
;   13: = 00000060
;   14: #TS(0060)
%include "runtime.inc"

OTHER           equ SPARE
TOO_SHORT       equ SPARE + 0x08
ABSENT          equ SPARE + 0x10
CODE_ABSENT     equ SPARE + 0x18
STACK_ABSENT    equ SPARE + 0x20
DATA_ABSENT     equ SPARE + 0x28
TS_TASK         equ SPARE + 0x38
NP_TASK         equ SPARE + 0x40
SS_TASK         equ SPARE + 0x48
TASK_GATE_BAD   equ SPARE + 0x30

; make_handler vector, TSS selector, TSS address, label: a task gate and the task behind it.
%macro make_handler 4
        set_descriptor %2, %3, 0x67, 0x0089
        set_gate %1, %2, 0, 0x8500
        mov edi, %3
        call fill_tss
        mov dword [%3 + 0x20], %4
        mov dword [%3 + 0x38], IST2_STACK
%endmacro

; attempt step, offset in the TSS, value: a switch with one field changed. The fault, seen in the new task or the old one,
; goes on at the next attempt, back in the old task.
%macro attempt 3
        call prepare
        mov dword [task2 + %2], %3
        begin_step %1, other, 0
        mov dword [kernel_return], %%back
        call OTHER:0
%%back:
%endmacro

main:
        set_descriptor OTHER, task2, 0x67, 0x0089
        set_descriptor TOO_SHORT, task2, 0x66, 0x0089
        set_descriptor ABSENT, task2, 0x67, 0x0009
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xc01b
        set_descriptor STACK_ABSENT, 0, 0xfffff, 0xc013
        set_descriptor DATA_ABSENT, 0, 0xfffff, 0xc073
        set_call_gate TASK_GATE_BAD, DATA32, 0, 0x8500

; Nothing has been switched yet.
        try 1, jmp TOO_SHORT:0
        try 2, jmp ABSENT:0
        try 3, jmp TASK:0               ; busy
        try 4, jmp TASK_GATE_BAD:0
        make_handler 10, TS_TASK, FREE, ts_handler
        make_handler 11, NP_TASK, FREE + 0x80, np_handler
        make_handler 12, SS_TASK, FREE + 0x100, ss_handler
        attempt 5, 0x60, 8 | 4          ; LDT selector in the LDT
        attempt 6, 0x60, DATA32         ; not an LDT
        attempt 7, 0x4c, DATA32         ; CS is data
        attempt 8, 0x4c, CODE_ABSENT
        attempt 9, 0x50, STACK_ABSENT
        attempt 10, 0x50, USER_DATA32   ; SS of another level
        attempt 11, 0x54, DATA_ABSENT
        attempt 12, 0x54, CODE_ABSENT
        attempt 13, 0x20, other         ; nothing is wrong: the control

        set_gate 10, CODE32, number_of(stubs) + 10 * 16, 0x8e00
; IRET with NT set and a back link that is no busy TSS.
        mov word [task], OTHER
        mov byte [gdt + OTHER + 5], 0x89
        pushfd
        or dword [esp], 0x4000
        popfd
        try 14, iretd
        push dword 2
        popfd
        finish

; A TSS that is all right, at EDI.
prepare:
        mov edi, task2
fill_tss:
        push edi
        mov ecx, 0x68 / 4
        xor eax, eax
        rep stosd
        pop edi
        mov dword [edi + 0x20], other
        mov dword [edi + 0x24], 2
        mov dword [edi + 0x38], IST1_STACK
        mov dword [edi + 0x4c], CODE32
        mov dword [edi + 0x50], DATA32
        mov eax, USER_DATA32
        mov [edi + 0x48], eax
        mov [edi + 0x54], eax
        mov dword [edi + 0x64], 0x680000
        ret

other:
        str eax
        note eax
        jmp go_back

; In the task that a fault leads to: vector, error code, the task that it happened in.
ts_handler:
        note 10
        jmp any_handler
np_handler:
        note 11
        jmp any_handler
ss_handler:
        note 12
any_handler:
        note dword [esp]
        str eax
        mov byte [gdt + eax + 5], 0x89
        mov edx, [gdt + eax + 2]
        and edx, 0xffffff
        movzx eax, word [edx]
        note eax
; Back to the first task by hand.
go_back:
        mov byte [gdt + TASK + 5], 0x89
        mov byte [gdt + OTHER + 5], 0x89
        mov eax, TASK
        ltr ax
        mov eax, DATA32
        mov ss, eax
        mov esp, KERNEL_STACK
        mov eax, USER_DATA32
        mov ds, eax
        mov es, eax
        push dword 2
        popfd
        clts
        jmp [kernel_return]
