; Real mode: every segment ends at 64 KiB. A word access at 0ffffh faults, as #SS for the stack (SDM vol. 3A 21.1.1).
;
; mode: real
; steps: 12
; expect:
;   1: = 00000044
;   2: #GP
;   3: #GP
;   5: #GP
;   6: = 00000077
;   7: #GP
;   8: #SS
;   9: = 00001234
;   9: = 0000fffe
;   10: #GP
;   11: #GP
;   12: #GP
%include "runtime.inc"

main:
        mov ax, FREE >> 4
        mov es, ax
        mov dword [es:0xfffc], 0x44332211

        mov bx, 0xffff
        try 1, mov al, [es:bx]
        movzx eax, al
        note eax
        try 2, mov ax, [es:bx]
        mov bx, 0xfffd
        try 3, mov eax, [es:bx]
        mov bx, 0xfffe
        try 4, mov [es:bx], ax
        try 5, mov [es:bx], eax

; The effective address wraps at 64 KiB where the address size is 16 bits, and only there.
        mov bx, 0xfff0
        mov si, 0x20
        mov byte [es:0x10], 0x77
        try 6, mov al, [es:bx + si]
        movzx eax, al
        note eax
        mov ebx, 0xfff0
        try 7, mov al, [es:ebx + 0x20]

; The stack: a push at SP = 1 and a frame that wraps.
        mov bp, 0xffff
        try 8, mov ax, [bp]
        mov cx, sp
        mov sp, 1
        mov dx, sp
        mov dword [step], 9
        mov ax, FREE >> 4
        mov ss, ax
        mov sp, 0
        push word 0x1234                ; SP = 0 wraps to 0fffeh
        mov ax, [es:0xfffe]
        mov dx, sp
        xor bx, bx
        mov ss, bx
        mov sp, cx
        movzx eax, ax
        note eax
        movzx edx, dx
        note edx

; An interrupt vector outside the IDT's limit.
        lidt [short_ivt]
        try 10, int 0x20
        lidt [ivt_pointer]

; A jump past the end of the code segment, and code that would run off it.
        try 11, jmp dword 0x10000
        mov byte [0xffff], 0xb0         ; MOV AL, imm8
        begin_step 12, 0xffff, .over
        jmp 0xffff
.over:
        finish

short_ivt:
        dw 0x7f                         ; vectors 0 to 1fh
        dd 0
