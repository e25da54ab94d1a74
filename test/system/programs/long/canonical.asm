; Non-canonical addresses: #GP(0), or #SS(0) through the stack; which registers refuse them (SDM vol. 1 3.3.7.1).
;
; mode: long64
; steps: 23
; expect:
;   1: #GP(0000)
;   2: #GP(0000)
;   3: #PF(0000) cr2=7fffffffffff
;   4: #GP(0000)
;   5: #GP(0000)
;   6: #PF(0000) cr2=ffff800000000000
;   7: #SS(0000)
;   8: #SS(0000)
;   9: #SS(0000)
;   10: #SS(0000)
;   11: #SS(0000)
;   12: #GP(0000)
;   13: #GP(0000)
;   14: #GP(0000)
;   18: #GP(0000)
;   19: #GP(0000)
;   20: #GP(0000)
;   21: #GP(0000)
;   22: #GP(0000)
;   23: #GP(0000)
%include "runtime.inc"

FS_BASE         equ 0xc0000100
GS_BASE         equ 0xc0000101
KERNEL_GS_BASE  equ 0xc0000102

main:
        mov rbx, 0x800000000000
        try 1, mov eax, [rbx]
        try 2, mov [rbx], eax
        mov rcx, 0x7fffffffffff
        try 3, mov al, [rcx]            ; canonical, not mapped
        mov dword [PML4 + 255 * 8], PDPT | 7
        mov dword [PDPT + 511 * 8], PD | 7
        mov dword [PD + 511 * 8], PT | 7
        mov al, [rcx]                   ; now it is
        try 4, mov ax, [rcx]            ; its second byte is not canonical
        mov rcx, 0xffff7fffffffffff
        try 5, mov al, [rcx]
        try 6, mov al, [rcx + 1]
        mov rbp, rbx
        try 7, mov eax, [rbp]
        try 8, mov eax, [rsp + rbx]
        mov rdx, rsp
        lea rsp, [rbx + 0x100]
        mov word [idt + 12 * 16 + 4], 0x8e01
        try 9, push rax
        try 10, pop rax
        try 11, call main
        mov rsp, rdx
        mov word [idt + 12 * 16 + 4], 0x8e00
        try 12, jmp rbx
        begin_step 13, .ret, .after14
        push rbx
.ret:   ret
.after14:
        mov rsp, rdx
        mov [SCRATCH], rbx
        try 14, call [SCRATCH]
        try 15, invlpg [rbx]            ; ignored
        try 16, prefetcht0 [rbx]        ; ignored
        try 17, lea rax, [rbx]
        try 18, clflush [rbx]
        mov word [SCRATCH], 0xff
        mov [SCRATCH + 2], rbx
        try 19, lgdt [SCRATCH]
        try 20, lidt [SCRATCH]
        mov ecx, FS_BASE
        xor eax, eax
        mov edx, 0x8000
        try 21, wrmsr
        mov ecx, KERNEL_GS_BASE
        try 22, wrmsr
        mov rax, cr4
        or eax, 1 << 16
        mov cr4, rax
        try 23, wrgsbase rbx
        finish
