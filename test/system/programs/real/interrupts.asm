; Real mode: delivery through the interrupt vector table, IRET, and which exceptions there are (SDM vol. 3A 21.1).
;
; mode: real
; steps: 9
; expect:
;   1: #BP +1
;   2: = 00000046
;   2: = 00000246
;   2: = 00000246
;   3: #DE
;   4: #UD
;   5: #BR
;   6: #OF +1
;   7: int 21 +2 cs=0800
;   8: #UD
;   9: #GP
%include "runtime.inc"

main:
        try 1, int3

; The handler runs with IF and TF clear; IRET brings the flags back.
        mov word [0x20 * 4], handler
        xor eax, eax
        sti
        try 2, int 0x20
        pushfd
        cli
        pop eax
        note eax

        xor ecx, ecx
        try 3, div cl
        try 4, ud2
        mov eax, 5
        mov word [SCRATCH], 6
        mov word [SCRATCH + 2], 9
        try 5, bound ax, [SCRATCH]
        mov al, 0x7f
        add al, 1
        try 6, into

; The same code through another segment.
        begin_step 7, other - image, 0
        jmp 0x800:(other - image)
other:
        int 0x21
        jmp 0:back
back:
; Instructions of protected mode are undefined here.
        try 8, sldt ax
; The limit of 64 KiB holds for 32-bit addresses too.
        try 9, mov ax, [dword 0x10000]
        finish

handler:
        pushfd
        pop eax
        note eax
        mov bp, sp
        movzx eax, word [bp + 4]
        note eax
        iret
