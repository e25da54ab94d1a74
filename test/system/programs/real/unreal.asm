; Limits loaded in protected mode stay in real mode: loads of a segment register there change selector and base only
; (SDM vol. 3A 9.9.2).
;
; mode: real
; steps: 4
; expect:
;   1: #GP
;   2: = 12345678
;   3: = 12345678
;   4: #GP
%include "runtime.inc"

main:
        try 1, mov eax, [dword LARGE]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, DATA32
        mov es, bx
        mov fs, bx
        and al, 0xfe
        mov cr0, eax
        jmp 0:.real
.real:
        mov dword [step], 2
        mov ebx, LARGE
        mov dword [es:ebx], 0x12345678
        mov eax, [fs:ebx]
        note eax
; A load in real mode keeps the limit.
        mov ax, 0x1000
        mov es, ax
        try 3, mov eax, [es:ebx - 0x10000]
        note eax
        try 4, mov eax, [ebx]
        finish
