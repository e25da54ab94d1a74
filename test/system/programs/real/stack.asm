; Real mode: the order in which far transfers, PUSHA, ENTER and interrupts use the stack, and SP as an address.
;
; mode: real
; steps: 5
; expect:
;   1: = 00000000
;   2: = 00000010
;   3: = 00000000
;   3: = 00000000
;   4: = 0000000c
;   4: = 00000000
;   4: = 00000000
;   5: = 00000246
%include "runtime.inc"

main:
; PUSH SP stores the old value; POP SP loads the popped one.
        mov dword [step], 1
        mov bp, sp
        push sp
        pop ax
        sub ax, bp
        movzx eax, ax
        note eax

; PUSHA stores the SP from before it.
        mov dword [step], 2
        pusha
        mov bp, sp
        mov ax, [bp + 6]
        sub ax, bp
        mov [SCRATCH], ax
        popa
        movzx eax, word [SCRATCH]
        note eax

; CALL FAR and RETF, with parameters removed.
        mov dword [step], 3
        mov bp, sp
        push word 0x1111
        push word 0x2222
        call 0x800:(far_routine - image)
        mov ax, sp
        sub ax, bp
        movzx eax, ax
        note eax

; ENTER with nesting and LEAVE.
        mov dword [step], 4
        mov bp, sp
        mov bx, sp
        enter 8, 1
        mov ax, bx
        sub ax, sp
        movzx eax, ax
        note eax
        mov ax, bx
        sub ax, [bp]
        movzx eax, ax
        note eax
        leave
        sub bx, sp
        movzx eax, bx
        note eax

; INT pushes FLAGS, CS, IP; IRET with a 32-bit operand takes EFLAGS and leaves VM alone.
        mov dword [step], 5
        push dword 0x20246              ; VM is not for IRET in real mode
        push dword 0
        push dword .back
        o32 iret
.back:
        pushfd
        cli
        pop eax
        note eax
        finish

far_routine:
        mov si, sp
        movzx eax, word [ss:si + 2]
        note eax
        retf 4
