; A switch to a 16-bit TSS and back: 16-bit registers, upper halves, no FS and GS, no CR3 (SDM vol. 3A 7.6).
;
; mode: protected32
; steps: 2
; expect:
;   1: = 00000a0a
;   1: = 00000606
;   1: = 00000000
;   1: = 00000000
;   1: = 00000048
;   1: = 11112222
;   2: = 11112222
;   2: = 33334444
;   2: = 00000081
;   2: = 00000000
;   2: = 0000003b
;   2: = 00007777
;   2: = 00000000
%include "runtime.inc"

OTHER           equ SPARE

main:
        set_descriptor OTHER, task2, 0x2b, 0x0081
        mov edi, task2
        mov word [edi + 14], other
        mov word [edi + 16], 2          ; FLAGS
        mov word [edi + 18], 0x0a0a     ; AX
        mov word [edi + 20], 0x0c0c
        mov word [edi + 22], 0x0d0d
        mov word [edi + 24], 0x0b0b
        mov word [edi + 26], IST1_STACK
        mov word [edi + 28], 0x0505
        mov word [edi + 30], 0x0606
        mov word [edi + 32], 0x0707
        mov word [edi + 34], USER_DATA32
        mov word [edi + 36], CODE32
        mov word [edi + 38], DATA16
        mov word [edi + 40], USER_DATA32
        mov word [edi + 42], 0
        mov eax, 0x11112222
        mov ecx, 0x33334444
        mov dword [step], 1
        call OTHER:0
        mov dword [step], 2
        note eax
        note ecx
        movzx eax, byte [gdt + OTHER + 5]
        note eax
        pushfd
        pop eax
        and eax, 0x4000
        note eax
        mov eax, fs
        note eax
; What the 16-bit TSS kept of the other task.
        movzx eax, word [task2 + 18]
        note eax
        movzx eax, word [task2 + 14]
        sub eax, number_of(other.after)
        note eax
        finish

; The upper halves of registers are not defined, so only the lower ones are looked at; a 16-bit stack does without ESP's.
other:
        movzx esp, sp
        movzx ecx, ax
        note ecx
        movzx ecx, si
        note ecx
        mov ecx, fs
        note ecx
        mov ecx, gs
        note ecx
        movzx ecx, word [task2]
        note ecx
        note dword [task + 0x28]        ; EAX of the caller, whole
        mov ax, 0x7777
        iretd
.after:
