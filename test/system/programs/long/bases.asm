; FS and GS: bases by MSR, by instruction, by selector; SWAPGS; wrapping of addresses and of RIP-relative ones
; (SDM vol. 3A 3.4.4.1).
;
; mode: long64
; steps: 16
; expect:
;   1: = 0000000000000010
;   1: = 0000000000001100
;   1: = 0000000000010000
;   2: #GP(0000) cs=0043
;   3: #UD
;   4: = 0000000000000018
;   4: = 0000000000010000
;   4: = 0000000000010000
;   4: = 0000000000000000
;   5: = 0000000000000010
;   5: = 0000000000000010
;   6: #PF(0000) cr2=100010000
;   7: = 0000000000fe1000
;   7: = 0000000000000000
;   7: = 0000000000000018
;   8: = 0000000000000018
;   9: = 0000000012345678
;   9: = 0000000000000001
;   9: = 0000000012345678
;   11: = 0000000000000018
;   12: = 0000000000010000
;   13: #GP(0000) cs=0043
;   14: #GP(0000) cs=0043
;   15: #GP(0000) cs=0043
;   16: #GP(0000) cs=0043
%include "runtime.inc"

FS_BASE         equ 0xc0000100
GS_BASE         equ 0xc0000101
KERNEL_GS_BASE  equ 0xc0000102
BASED           equ 0x80

main:
        set_descriptor BASED, 0x00fe1000, 0xfff, 0x40f3
        mov dword [FREE], 0x10
        mov dword [FREE + 8], 0x18
        mov dword [FREE + 0x100], 0x1100

        write_msr GS_BASE, FREE
        write_msr KERNEL_GS_BASE, FREE + 0x100
        mov dword [step], 1
        mov eax, [gs:0]
        note rax
        swapgs
        mov eax, [gs:0]
        note rax
        read_msr KERNEL_GS_BASE
        note rax
        swapgs
        user outer

        try 3, rdfsbase rax             ; CR4.FSGSBASE is off
        mov rax, cr4
        or eax, 1 << 16
        mov cr4, rax
        mov rax, FREE
        mov dword [step], 4
        wrfsbase rax
        mov eax, [fs:8]
        note rax
        mov rax, 0xffffffff00010000
        wrfsbase eax                    ; 32 bits: zero-extended
        rdfsbase rbx
        note rbx
        read_msr FS_BASE
        note rax
        note rdx

; Address arithmetic wraps at 2^64, after the base is added to 64 bits; at 2^32 with an address-size prefix, before.
        mov dword [step], 5
        mov rax, -8
        mov eax, [gs:rax + 8]
        note rax
        write_msr GS_BASE, FREE + 8
        mov rax, -8
        mov eax, [gs:rax]
        note rax
        mov eax, 8
        try 6, mov eax, [gs:eax - 0x10] ; 0fffffff8h, zero-extended, and the base

; A selector loads a 32-bit base; null leaves it, or clears it: Intel's clear it.
        mov dword [step], 7
        mov eax, BASED
        mov fs, ax
        rdfsbase rbx
        note rbx
        mov eax, 0
        mov fs, ax
        rdfsbase rbx
        note rbx
        mov ax, USER_DATA32             ; DS and ES have no base here
        mov eax, BASED
        mov ds, ax
        mov eax, [FREE + 8]
        note rax
        mov eax, USER_DATA32
        mov ds, ax

; No limit, no type: an execute-only or small DS is readable everywhere.
        mov dword [step], 8
        xor eax, eax
        mov ds, ax
        mov eax, [FREE + 8]
        note rax
        mov eax, USER_DATA32
        mov ds, ax

; RIP-relative: from the end of the instruction, immediates included.
        mov dword [step], 9
        mov dword [rel value], 0x12345678
        mov eax, [rel value]
        note rax
        cmp word [rel value], 0x5678
        sete al
        movzx eax, al
        note rax
        a32 mov eax, [rel value]        ; with 32-bit addressing, cut to 32 bits
        note rax
        user outer2
        finish

value:  dd 0

outer:
        try 2, swapgs
        kernel

outer2:
        mov rax, FREE
        try 10, wrgsbase rax
        mov dword [step], 11
        mov eax, [gs:8]
        note rax
        mov dword [step], 12
        rdgsbase ebx
        note rbx
        xor ecx, ecx
        try 13, rdmsr
        try 14, wrmsr
        try 15, mov rax, cr0
        try 16, rdpmc
        kernel
