; Compatibility mode: 32- and 16-bit code under long mode, segments with their limits, exceptions on 64-bit frames, calls
; through 64-bit call gates, what 64-bit mode makes of opcodes (SDM vol. 3A 9.8.5, 5.8.3.1).
;
; mode: long64
; steps: 17
; expect:
;   3: #GP(0000) cs=0008
;   4: #UD cs=0008
;   5: #BP +1 cs=0008
;   6: #GP(0000) cs=0008
;   7: #PF(0000) cr2=ffffffff cs=0008
;   8: #UD cs=0008
;   9: #GP(00b0) cs=0008
;   10: #UD cs=0020
;   11: = 0000000055667789
;   11: = 0000000000000008
;   11: = 0000000000001234
;   11: = 0000000000000000
;   12: #UD
;   13: #UD
;   14: #UD
;   15: #UD
;   16: = 0000000000000018
;   16: = 0000000000000000
;   16: = 0000000000000020
;   16: = 0000000000000033
;   16: = 0000000000007800
;   16: = 000000000000003b
;   17: #GP(0008) cs=0033
%include "runtime.inc"

SMALL           equ 0x80                ; data, limit 0fffh
SMALL_CODE      equ 0x88                ; code, limit 0ffffh, D = 1
GATE            equ 0x90                ; 16 bytes: call gate to 64-bit code, DPL 3
BAD_GATE        equ 0xa0                ; to 32-bit code
L_AND_D         equ 0xb0                ; code with L and D both set

main:
        set_descriptor SMALL, FREE, 0xfff, 0x40f3
        set_descriptor L_AND_D, 0, 0xfffff, 0xe09b
        set_call_gate GATE, CODE64, number_of(gate_target), 0xec00
        mov qword [gdt + GATE + 8], 0
        set_call_gate BAD_GATE, CODE32, number_of(gate_target), 0xec00
        mov qword [gdt + BAD_GATE + 8], 0

; Into 32-bit code at level 0 and back.
        mov rax, 0x1122334455667788
        mov dword [step], 1
        push CODE32
        push compat
        o64 retf

        bits 32
compat:
        mov ebx, cs
        inc eax                         ; 40h is INC again, and clears the upper half in time
        mov ecx, SMALL
        mov es, cx
        try 2, mov dl, [es:0xfff]
        try 3, mov dl, [es:0x1000]
        try 4, ud2
        try 5, int3
        xor edx, edx
        mov ecx, 0
        mov fs, cx
        try 6, mov dl, [fs:0]
        try 7, mov dl, [0xffffffff]     ; above what is mapped
        try 8, syscall                  ; Intel's: not in compatibility mode
        try 9, jmp L_AND_D:compat
        jmp CODE16:narrow_code
        bits 16
narrow_code:
        mov esi, 0x1234
        push esi
        pop esi
        mov di, 0xffff
        inc di
        try 10, ud2
        jmp dword CODE32:wide_code
        bits 32
wide_code:
        mov [SCRATCH], edi
        jmp CODE64:back64
        bits 64
back64:
        mov dword [step], 11
        note rax
        note rbx
        note rsi
        mov eax, [SCRATCH]
        note rax

; Undefined in 64-bit mode.
        try 12, db 0x06                 ; PUSH ES
        try 13, db 0x27                 ; DAA
        try 14, db 0xea, 0, 0, 0, 0, 8, 0
        try 15, db 0xce                 ; INTO
        user user_code
        finish

user_code:
        mov dword [step], 16
        push USER_CODE32
        push user_compat
        o64 retf
        bits 32
user_compat:
        mov eax, esp
        call GATE:0x12345678            ; to 64-bit level 0, and back to here
        mov ecx, SMALL | 3
        mov es, cx
        try 17, call BAD_GATE:0
        int KERNEL_VECTOR
        bits 64

; 64-bit stack: RIP, CS, RSP, SS; no parameters.
gate_target:
        mov ebx, cs
        note rbx
        mov ebx, ss                     ; null, as level 0 of 64-bit mode has it
        note rbx
        mov rbx, RING0_STACK
        sub rbx, rsp
        note rbx
        note qword [rsp + 8]
        note qword [rsp + 16]
        note qword [rsp + 24]
        o64 retf
