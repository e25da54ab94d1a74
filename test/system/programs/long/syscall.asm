; SYSCALL and SYSRET: selectors, RCX and R11, SFMASK, both operand sizes, what is refused (SDM vol. 2).
;
; mode: long64
; steps: 12
; expect:
;   1: = 00000000000000a3
;   1: = 000000000000009b
;   1: = 0000000000003cd7
;   2: = 0000000000003046
;   2: = 0000000000003446
;   2: = 0000000000000000
;   2: = 0000000000000000
;   2: = 0000000000000080
;   2: = 0000000000000088
;   3: = 0000000000000093
;   3: = 000000000000009b
;   4: = 0000000000000080
;   5: #GP(0000) cs=0043
;   6: #GP(0000)
;   6: = 0000000000000018
;   7: #GP(0000)
;   8: #UD
;   9: #UD
;   10: #GP(0000)
;   11: #GP(0000)
;   12: = 0000000000000d01
%include "runtime.inc"

STAR            equ 0xc0000081
LSTAR           equ 0xc0000082
SFMASK          equ 0xc0000084
EFER            equ 0xc0000080
; SYSCALL takes CS and SS from bits 47:32: KERNEL_BASE and the next; SYSRET from bits 63:48, +16 and +8.
CODE_K          equ 0x80
USER_BASE       equ 0x90

main:
        set_descriptor CODE_K, 0, 0xfffff, 0xa09b
        set_descriptor CODE_K + 8, 0, 0xfffff, 0xc093
        set_descriptor USER_BASE, 0, 0xfffff, 0xc0fb
        set_descriptor USER_BASE + 8, 0, 0xfffff, 0xc0f3
        set_descriptor USER_BASE + 16, 0, 0xfffff, 0xa0fb
        write_msr STAR, (USER_BASE | 3) << 48 | CODE_K << 32
        write_msr LSTAR, number_of(entry_point)
        write_msr SFMASK, 0x0c00        ; DF and OF
        mov [kernel_sp], rsp
        mov dword [kernel_return], returned

; Out by SYSRET with REX.W.
        mov dword [step], 1
        mov ecx, user64
        mov r11d, 0x3cd7 | 0x10000      ; RF and VM are not taken
        or r11d, 0x20000
        o64 sysret

user64:
        mov eax, cs
        note rax
        mov eax, ss
        note rax
        pushfq
        pop rax
        note rax
        mov dword [step], 2
        mov rbx, rsp
        xor ecx, ecx
        xor r11d, r11d
        syscall
after_call:
        kernel

entry_point:
        pushfq
        pop rax
        note rax
        note r11
        sub rcx, after_call
        note rcx
        sub rbx, rsp                    ; RSP stays
        note rbx
        mov eax, cs
        note rax
        mov eax, ss
        note rax
; Out to compatibility mode by SYSRET without REX.W.
        mov dword [step], 3
        mov ecx, user32
        mov r11d, 0x202 & ~0x200
        o32 sysret

        bits 32
user32:
        mov eax, cs
        mov ebx, ss
        mov [SCRATCH], eax
        mov [SCRATCH + 4], ebx
        mov ebx, esp
        int KERNEL_VECTOR
        bits 64

returned:
        mov eax, [SCRATCH]
        note rax
        mov eax, [SCRATCH + 4]
        note rax

; SYSCALL from level 0 is allowed. SYSRET at level 3 is not.
        write_msr LSTAR, number_of(from_kernel)
        mov dword [step], 4
        syscall
.next:
        kernel
from_kernel:
        pop rax
        push rax
        mov eax, cs
        note rax
        mov rsp, KERNEL_STACK
        user refused

; SYSRET to a non-canonical address: #GP at level 0 with RSP already the user's.
        mov rcx, 0x800000000000
        mov r11d, 2
        try 6, o64 sysret
        mov eax, cs
        note rax

; LSTAR does not take one.
        mov ecx, LSTAR
        mov edx, 0x8000
        xor eax, eax
        try 7, wrmsr

; Without SCE both are undefined.
        write_msr EFER, 0x900
        try 8, syscall
        try 9, o64 sysret
        write_msr EFER, 0x901
        mov ecx, EFER
        mov eax, 0x902                  ; a reserved bit
        xor edx, edx
        try 10, wrmsr
        mov eax, 0x801                  ; LME cannot change while paging is on
        try 11, wrmsr
        rdmsr
        mov dword [step], 12
        mov ebx, eax
        note rbx                        ; LMA is set and read-only
        finish

refused:
        try 5, o64 sysret
        kernel
