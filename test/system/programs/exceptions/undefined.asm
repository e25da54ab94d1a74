; Opcodes that are undefined, LOCK where it must not be, instructions longer than 15 bytes (SDM vol. 2).
;
; mode: long64
; steps: 30
; expect:
;   1: #UD
;   2: #UD
;   3: #UD
;   4: #UD
;   5: #UD
;   6: #UD
;   7: #UD
;   9: #UD
;   10: #UD
;   11: #UD
;   12: #UD
;   14: #UD
;   16: #UD
;   17: #UD
;   19: #GP(0000)
;   22: #GP(0000)
;   23: #GP(0000)
;   24: #PF(0010) cr2=00181000
;   25: #UD
;   26: #UD
;   27: #UD
;   28: #UD
;   29: #UD
;   30: #UD
%include "runtime.inc"

%macro lock_bytes 2+
        try %1, db 0xf0, %2
%endmacro

main:
        mov rbx, FREE
        try 1, ud2
        try 2, db 0x0f, 0xff, 0x03      ; UD0 with a ModR/M byte
        try 3, db 0x0f, 0xb9, 0x03      ; UD1
        try 4, db 0xd6                  ; SALC
        try 5, db 0x82, 0xc0, 0x01      ; the alias of 80h
        try 6, db 0xc4, 0x03            ; LES
        try 7, db 0x0f, 0x0b
        lock_bytes 8, 0x01, 0x03        ; LOCK ADD [RBX], EAX
        lock_bytes 9, 0x01, 0xc3        ; LOCK ADD EBX, EAX
        lock_bytes 10, 0x03, 0x03       ; LOCK ADD EAX, [RBX]
        lock_bytes 11, 0x8b, 0x03       ; LOCK MOV
        lock_bytes 12, 0x39, 0x03       ; LOCK CMP
        lock_bytes 13, 0x87, 0x03       ; LOCK XCHG
        lock_bytes 14, 0x0f, 0xa3, 0x03 ; LOCK BT
        lock_bytes 15, 0x0f, 0xab, 0x03 ; LOCK BTS
        lock_bytes 16, 0x90             ; LOCK NOP
        lock_bytes 17, 0xf7, 0x03, 0, 0, 0, 0   ; LOCK TEST
        lock_bytes 18, 0x0f, 0xc7, 0x0b         ; LOCK CMPXCHG8B
        mov rbx, FREE + 8
        try 19, cmpxchg16b [rbx]                ; not aligned to 16 bytes
        mov rbx, FREE
        try 20, cmpxchg16b [rbx]

; 15 bytes are allowed, 16 are not.
        begin_step 21, .fifteen, .after21
.fifteen:
        times 14 db 0x66
        db 0x90
.after21:
        begin_step 22, .sixteen, .after22
.sixteen:
        times 15 db 0x66
        db 0x90
.after22:
; The limit counts before the page after it does.
        mov edi, PAGES + 0x1000 - 15
        mov al, 0x66
        mov ecx, 15
        rep stosb
        map PAGES + 0x1000, 0
        invlpg [PAGES + 0x1000]
        begin_step 23, PAGES + 0x1000 - 15, .after23
        mov eax, PAGES + 0x1000 - 15
        jmp rax
.after23:
        begin_step 24, PAGES + 0x1000 - 14, .after24
        mov eax, PAGES + 0x1000 - 14
        jmp rax
.after24:
; Registers that are not there, memory forms that are not there.
        try 25, db 0x0f, 0x20, 0xc8     ; MOV EAX, CR1
        try 26, db 0x0f, 0x20, 0xe8     ; MOV EAX, CR5
        try 27, db 0x8e, 0xc8           ; MOV CS, EAX
        try 28, db 0x8e, 0xf0           ; MOV with segment register 6
        try 29, db 0x8d, 0xc0           ; LEA of a register
        try 30, db 0x0f, 0xc7, 0xc8     ; CMPXCHG8B of a register
        finish
