; MOV to control registers: reserved bits, combinations that must not be, what level 3 may do, LMSW and SMSW, and writes
; that are ignored (SDM vol. 3A 2.5, vol. 2 MOV).
;
; mode: long64
; steps: 30
; expect:
;   1: #GP(0000)
;   2: #GP(0000)
;   3: #GP(0000)
;   4: #GP(0000)
;   5: = 0000000000000000
;   6: #GP(0000)
;   7: #GP(0000)
;   8: #GP(0000)
;   9: #GP(0000)
;   10: = 000000000000000f
;   11: #GP(0000)
;   12: = 000000008001003f
;   13: = 0000000000000033
;   13: = ffffffffffff0033
;   14: #GP(0000)
;   15: #GP(0000)
;   17: = 00000000ffff0ff0
;   17: = 0000000000000400
;   17: = 00000000ffff0ff0
;   18: #UD
;   19: #UD
;   20: #GP(0000) cs=0043
;   21: #GP(0000) cs=0043
;   22: #GP(0000) cs=0043
;   23: #GP(0000) cs=0043
;   24: #GP(0000) cs=0043
;   25: #GP(0000) cs=0043
;   26: #GP(0000) cs=0043
;   27: #GP(0000) cs=0043
;   28: = 0000000000000033
;   30: #GP(0000) cs=0043
%include "runtime.inc"

main:
        mov rbx, cr0
        mov rax, rbx
        and eax, ~1                     ; PG without PE
        try 1, mov cr0, rax
        mov rax, rbx
        and eax, 0x7fffffff             ; PG cannot go in 64-bit mode
        try 2, mov cr0, rax
        mov rax, rbx
        or eax, 1 << 29                 ; NW without CD
        try 3, mov cr0, rax
        mov rax, rbx
        bts rax, 32
        try 4, mov cr0, rax
        mov rax, rbx
        or eax, 0x1ff80 & ~0x10000      ; reserved bits below 32 are ignored
        try 5, mov cr0, rax
        mov rax, cr0
        xor rax, rbx
        note rax
        mov cr0, rbx

        mov rbx, cr4
        mov rax, rbx
        and eax, ~0x20                  ; PAE is needed
        try 6, mov cr4, rax
        mov rax, rbx
        or eax, 1 << 15
        try 7, mov cr4, rax
        mov rax, rbx
        bts rax, 32
        try 8, mov cr4, rax
        mov rax, cr3
        bts rax, 52
        try 9, mov cr3, rax
        mov eax, 15
        try 10, mov cr8, rax
        mov rcx, cr8
        note rcx
        mov eax, 16
        try 11, mov cr8, rax
        xor eax, eax
        mov cr8, rax

; LMSW can set PE, MP, EM and TS, and cannot clear PE.
        mov rbx, cr0
        mov eax, 0xe
        mov dword [step], 12
        lmsw ax
        mov rax, cr0
        note rax
        mov cr0, rbx
        mov dword [step], 13
        mov rax, -1
        smsw eax
        movzx eax, ax                   ; the rest is not defined
        note rax
        mov rax, -1
        smsw ax
        note rax

; Debug registers 4 and 5 are 6 and 7, unless CR4.DE is set. Their upper halves are reserved.
        mov rax, 1 << 32
        try 14, mov dr7, rax
        try 15, mov dr6, rax
        try 16, mov dr0, rax
        mov dword [step], 17
        xor eax, eax
        mov dr6, rax
        mov rcx, dr6
        note rcx
        mov eax, 0x400
        mov dr7, rax
        mov rcx, dr7
        note rcx
        db 0x0f, 0x21, 0xe1             ; MOV RCX, DR4
        note rcx
        mov rax, cr4
        or eax, 8
        mov cr4, rax
        try 18, db 0x0f, 0x21, 0xe1
        try 19, db 0x0f, 0x23, 0xe9     ; MOV DR5, RCX

        user outer
        finish

outer:
        try 20, mov rax, cr0
        try 21, mov cr3, rax
        try 22, mov rax, dr0
        try 23, mov cr8, rax
        try 24, clts
        try 25, lmsw ax
        try 26, invlpg [0]
        try 27, wbinvd
        mov dword [step], 28
        smsw eax                        ; allowed without UMIP
        movzx eax, ax
        note rax
        try 29, rdtsc
        try 30, hlt
        kernel
