; IOPL: who may use CLI, STI, POPF, IN and OUT, and what POPF changes silently (SDM vol. 1 19.5, vol. 2 POPF).
;
; mode: protected32
; steps: 16
; expect:
;   1: #GP(0000) cs=0033
;   2: #GP(0000) cs=0033
;   3: #GP(0000) cs=0033
;   4: #GP(0000) cs=0033
;   5: = 00000046
;   6: #GP(0000) cs=0033
;   7: #GP(0000) cs=0033
;   8: #GP(0000) cs=0033
;   10: #GP(0000) cs=0033
;   12: #GP(0000) cs=0033
;   14: #GP(0000) cs=0033
;   16: = 00003202
%include "runtime.inc"

MAP             equ task + 0x68

main:
; No I/O permission bitmap, IOPL 0.
        user iopl0

; A bitmap that allows ports 0xe0 to 0xe7 and 0xeb, and ends after port 0xff with its byte of ones.
        mov word [task + 102], 0x68
        mov edi, MAP
        mov ecx, 33
        mov al, 0xff
        rep stosb
        mov byte [MAP + 0xe0 / 8], 0
        mov byte [MAP + 0xe8 / 8], 0xf7
        mov byte [gdt + TASK + 5], 0x89
        mov byte [gdt + TASK], 0x68 + 32
        mov eax, TASK
        ltr ax
        mov dx, 0xe0
        user bitmap

; IOPL 3 allows all.
        push dword 0x3002
        popfd
        user iopl3
        push dword 2
        popfd
        finish

iopl0:
        try 1, cli
        try 2, sti
        try 3, in al, 0xe0
        try 4, out 0xe0, al
; POPF leaves IF and IOPL as they are, without a fault.
        mov dword [step], 5
        push dword 0x3246
        popfd
        pushfd
        pop eax
        note eax
        try 6, hlt
        mov ecx, 1
        mov esi, FREE
        mov edx, 0xe0
        try 7, rep outsb
        try 8, insd
        kernel

bitmap:
        try 9, in al, dx
        mov dx, 0xe8
        try 10, in al, dx
        mov dx, 0xe4
        try 11, in eax, dx
        mov dx, 0xe6
        try 12, in eax, dx              ; all bits of a wide access count
        mov dx, 0xeb
        try 13, in al, dx
        mov dx, 0x100                   ; past the limit of the TSS
        try 14, in al, dx
        kernel

iopl3:
        try 15, cli
        mov dword [step], 16
        push dword 0x0202               ; IF changes, IOPL does not
        popfd
        pushfd
        cli
        pop eax
        note eax
        mov dx, 0x100
        try 16, in al, dx
        kernel
