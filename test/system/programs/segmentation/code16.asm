; 16-bit protected mode: 16-bit code and stack by the D and B bits, address and operand size prefixes, 16-bit far pointers,
; gates of 286 style, what the limit of 64 KiB does (SDM vol. 3A 21.3, vol. 1 3.6).
;
; mode: protected16
; steps: 13
; expect:
;   1: = 12340000
;   1: = 00000002
;   3: #GP(0000)
;   3: = 55667788
;   4: #GP(0000)
;   5: #GP(0000)
;   6: = 00010000
;   6: = 00010000
;   7: = 00000004
;   7: = 00000020
;   8: = 00000008
;   8: = 00000020
;   9: = 00000006
;   10: #BP +1
;   11: = 00000004
;   11: = 00000020
;   12: #GP(0000)
;   13: #SS(0000)
%include "runtime.inc"

CODE_SMALL      equ SPARE               ; 16-bit code, limit 0fffh
GATE286         equ SPARE + 8

main:
; A 16-bit operation leaves the upper half, of a register and of the stack pointer.
        mov dword [step], 1
        mov eax, 0x12345678
        mov ax, 0xffff
        inc ax
        note eax
        mov ebx, esp
        push word 0x1111
        sub bx, sp
        note ebx
        pop bx

; Near jumps are cut to 16 bits.
        mov dword [step], 2
        mov eax, 0x7fff0000 + number_of(.target)
        jmp ax
.target:
        begin_step 3, .far32, .after3
        mov eax, 0x12340000
.far32: jmp dword CODE16:0x10000        ; past the limit
.after3:
; 16-bit addresses wrap; 32-bit ones run into the limit.
        mov dword [dword FREE - 8], 0x55667788
        mov si, 0xfff0
        mov bx, 0x0008
        mov eax, [bx + si]
        note eax
        mov esi, 0xfff0
        try 4, mov eax, [esi + 0x10]
        try 5, mov eax, [esi + 0xd]

; LODSW counts with SI or ESI, by the address size; LOOP with CX or ECX.
        mov dword [step], 6
        mov esi, 0x1ffff
        lodsb
        note esi
        mov ecx, 0x10001
        loop .over
        jmp .counted
.over:  note dword 0xbad
.counted:
        note ecx

; CALL and RETF with 16-bit frames; a 32-bit call by prefix.
        mov dword [step], 7
        mov bx, sp
        call CODE16:routine16
        mov dword [step], 8
        mov bx, sp
        call dword CODE16:routine32

; A 16-bit interrupt gate and a 16-bit IRET; INT in 16-bit code through the runtime's 32-bit gates works as well.
        set_gate 0x50, CODE16, number_of(handler16), 0x8600
        mov dword [step], 9
        mov bx, sp
        int 0x50
        try 10, int3

; A 16-bit call gate: the upper half of the offset is not looked at.
        set_call_gate GATE286, CODE16, number_of(routine16), 0x8400
        mov word [gdt + GATE286 + 6], 0x1234
        mov dword [step], 11
        mov bx, sp
        call GATE286:0

        set_descriptor CODE_SMALL, 0, 0xfff, 0x009b
        try 12, jmp CODE_SMALL:0x1000
        mov bp, 0xffff
        try 13, mov ax, [bp]
        finish

; Notes the bytes of the frame and the return selector.
routine16:
        movzx eax, bx
        movzx ecx, sp
        sub eax, ecx
        note eax
        mov bp, sp
        movzx eax, word [bp + 2]
        note eax
        retf

routine32:
        movzx eax, bx
        movzx ecx, sp
        sub eax, ecx
        note eax
        mov bp, sp
        movzx eax, word [bp + 4]
        note eax
        o32 retf

handler16:
        movzx eax, bx
        movzx ecx, sp
        sub eax, ecx
        note eax
        iret
