; SYSENTER and SYSEXIT in long mode, from 64-bit and compatibility mode (SDM vol. 2).
;
; mode: long64
; steps: 6
; expect:
;   1: #GP(0000)
;   2: = 00000000000000a3
;   2: = 00000000000000ab
;   2: = 0000000000007800
;   3: = 0000000000000cd7
;   3: = 0000000000000080
;   3: = 0000000000000088
;   3: = 0000000000006000
;   5: = 0000000000000093
;   5: = 0000000000000080
;   5: = 0000000000000088
;   5: = 0000000000006000
;   5: = 0000000000000093
;   5: = 000000000000009b
;   6: #GP(0000) cs=0043
%include "runtime.inc"

BASE            equ 0x80                ; code, stack, 32-bit user code and stack, 64-bit user code and stack

main:
        set_descriptor BASE, 0, 0xfffff, 0xa09b
        set_descriptor BASE + 0x08, 0, 0xfffff, 0xc093
        set_descriptor BASE + 0x10, 0, 0xfffff, 0xc0fb
        set_descriptor BASE + 0x18, 0, 0xfffff, 0xc0f3
        set_descriptor BASE + 0x20, 0, 0xfffff, 0xa0fb
        set_descriptor BASE + 0x28, 0, 0xfffff, 0xc0f3
        mov [kernel_sp], rsp
        mov dword [kernel_return], over
        write_msr 0x174, 0
        try 1, sysenter                 ; no selector
        write_msr 0x174, BASE
        write_msr 0x175, IST1_STACK
        write_msr 0x176, number_of(entry_point)
        mov dword [step], 2
        mov edx, user64
        mov ecx, USER_STACK
        o64 sysexit

user64:
        mov eax, cs
        note rax
        mov eax, ss
        note rax
        mov rax, rsp
        note rax
        mov dword [step], 3
        push 0x0cd7                     ; IF, VM and RF are cleared, the rest stays
        popfq
        sysenter

entry_point:
        pushfq
        pop rax
        cld
        note rax
        mov eax, cs
        note rax
        mov eax, ss
        note rax
        lea rax, [rsp]
        note rax
        cmp dword [step], 5
        je .again
        mov dword [step], 4
        mov edx, user32
        mov ecx, USER_STACK
        sysexit
.again:
        kernel

        bits 32
user32:
        mov eax, cs
        mov [SCRATCH], eax
        mov eax, ss
        mov [SCRATCH + 4], eax
        mov dword [step], 5
        sysenter
        bits 64

over:
        mov eax, [SCRATCH]
        note rax
        mov eax, [SCRATCH + 4]
        note rax
        user outer
        finish

outer:
        try 6, sysexit
        kernel
