; LAR, LSL, VERR, VERW and ARPL at levels 0 and 3: what they show, what they refuse (SDM vol. 2).
;
; mode: protected32
; steps: 24
; expect:
;   1: = 00000001
;   1: = 00c09300
;   2: = 00000001
;   2: = ffffffff
;   3: = 00000001
;   3: = 12345fff
;   4: = 00000001
;   4: = 5a50f300
;   5: = 00000001
;   5: = 00407300
;   6: = 00000001
;   6: = 00008c00
;   7: = 00000000
;   7: = 5a5a5a5a
;   8: = 00000000
;   8: = 5a505a5a
;   9: = 00000001
;   9: = 0000002b
;   10: = 00000000
;   10: = 5a505a5a
;   11: = 00000000
;   11: = 5a505a5a
;   12: = 00000001
;   12: = 00d09f00
;   13: = 00000000
;   13: = 5a5a5a5a
;   14: = 00000000
;   14: = 5a5a5a5a
;   15: = 00000001
;   15: = 5a5a5a5a
;   16: = 00000000
;   16: = 5a5a5a5a
;   17: = 00000000
;   17: = 5a5a5a5a
;   18: = 00000001
;   18: = 00008500
;   19: = 00000013
;   19: = 00000001
;   20: = 00000013
;   20: = 00000000
;   21: = 00000000
;   21: = 5a505a5a
;   22: = 00000001
;   22: = ffffffff
;   23: = 00000000
;   23: = 5a5a5a5a
;   24: = 00000001
;   24: = 5a5a5a5a
%include "runtime.inc"

ABSENT          equ SPARE               ; data, DPL 3, not present
EXECUTE_ONLY    equ SPARE + 0x08        ; DPL 3
READ_ONLY       equ SPARE + 0x10        ; DPL 3
CONFORMING      equ SPARE + 0x18        ; readable, DPL 0
GATE            equ SPARE + 0x20        ; call gate
GRANULAR        equ SPARE + 0x28        ; limit 12345h pages
TASK_GATE       equ SPARE + 0x30
RESERVED_TYPE   equ SPARE + 0x38        ; system type 8
TSS16           equ SPARE + 0x40
LDT_SELECTOR    equ SPARE + 0x48

; query step, instruction: notes ZF and EBX.
%macro query 2+
        mov dword [step], %1
        mov ebx, 0x5a5a5a5a
        %2
        setz [SCRATCH]
        movzx ecx, byte [SCRATCH]
        note ecx
        note ebx
%endmacro

; rights step, operands: the same for LAR, without bits 19:16, which are undefined.
%macro rights 3
        mov dword [step], %1
        mov ebx, 0x5a505a5a
        lar %2, %3
        setz [SCRATCH]
        movzx ecx, byte [SCRATCH]
        note ecx
        and ebx, 0xfff0ffff
        note ebx
%endmacro

main:
        set_descriptor ABSENT, 0x123456, 0x789, 0x4073
        set_descriptor EXECUTE_ONLY, 0, 0xfffff, 0xc0f9
        set_descriptor READ_ONLY, 0, 0xfffff, 0xc0f1
        set_descriptor CONFORMING, 0, 0xfffff, 0xd09f
        set_call_gate GATE, CODE32, number_of(main), 0x8c02
        set_descriptor GRANULAR, 0, 0x12345, 0xc0f3
        set_descriptor TASK_GATE, 0, 0, 0x0085
        set_descriptor RESERVED_TYPE, 0, 0xff, 0x0088
        set_descriptor TSS16, task, 0x2b, 0x0081
        set_descriptor LDT_SELECTOR, ldt, 0xff, 0x0082

        mov eax, DATA32
        rights 1, ebx, eax
        query 2, lsl ebx, eax
        mov eax, GRANULAR
        query 3, lsl ebx, eax
        rights 4, bx, ax
        mov eax, ABSENT                 ; presence is of no matter to LAR
        rights 5, ebx, eax
        mov eax, GATE                   ; LAR takes gates, LSL does not
        rights 6, ebx, eax
        query 7, lsl ebx, eax
        mov eax, RESERVED_TYPE
        rights 8, ebx, eax
        mov eax, TSS16
        query 9, lsl ebx, eax
        xor eax, eax
        rights 10, ebx, eax
        mov eax, DATA32 | 3             ; RPL counts like CPL
        rights 11, ebx, eax
        mov eax, CONFORMING | 3
        rights 12, ebx, eax
        mov eax, EXECUTE_ONLY
        query 13, verr ax
        query 14, verw ax
        mov eax, READ_ONLY
        query 15, verr ax
        query 16, verw ax
        mov eax, GDT_LIMIT + 1
        query 17, verr ax
        mov eax, TASK_GATE
        rights 18, ebx, eax

; ARPL raises the RPL of its destination.
        mov eax, 0x0010
        mov ecx, 0x0003
        mov dword [step], 19
        arpl ax, cx
        setz bl
        movzx ebx, bl
        note eax
        note ebx
        mov dword [step], 20
        arpl ax, cx
        setz bl
        movzx ebx, bl
        note eax
        note ebx

        user query_as_user
        finish

query_as_user:
        mov eax, DATA32
        rights 21, ebx, eax
        mov eax, USER_DATA32
        query 22, lsl ebx, eax
        mov eax, LDT_SELECTOR
        query 23, lsl ebx, eax
        mov eax, CONFORMING
        query 24, verr ax
        kernel
