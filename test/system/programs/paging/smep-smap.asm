; SMEP and SMAP: level 0 on user pages, EFLAGS.AC, implicit accesses (SDM vol. 3A 4.6).
;
; mode: long64
; steps: 19
; expect:
;   2: #PF(0011) cr2=00180000
;   5: #PF(0001) cr2=00180000
;   6: #PF(0003) cr2=00180000
;   10: #PF(0003) cr2=00182000
;   11: #PF(0011) cr2=00180000
;   12: #PF(0001) cr2=00180000
;   13: #BP +1
;   15: #PF(0001) cr2=00180010
;   17: = 0000000000040000
;   18: #UD cs=0043
;   19: #UD cs=0043
; bochs:
;   15: none
%include "runtime.inc"


A               equ PAGES               ; user page
KERNEL_PAGE     equ PAGES + 0x1000
READ_ONLY       equ PAGES + 0x2000      ; user page, read-only

main:
; All low pages become the supervisor's but those of the test.
        mov ecx, 512
        mov edi, PT
.supervisor:
        and dword [rdi], ~4
        add edi, 8
        loop .supervisor
        map A, A | 7
        map READ_ONLY, READ_ONLY | 5
        map USER_STACK - 8, 0x7000 | 7
        flush_tlb
        mov byte [A], 0xc3
        mov byte [KERNEL_PAGE], 0xc3
        mov rbx, A
        mov rdx, KERNEL_PAGE
        mov rsi, READ_ONLY

        begin_step 1, A, .after1
        call rbx                        ; allowed without SMEP
.after1:
        mov rax, cr4
        or eax, 1 << 20
        mov cr4, rax
        begin_step 2, A, .after2
        call rbx
.after2:
        mov rsp, KERNEL_STACK
        begin_step 3, KERNEL_PAGE, .after3
        call rdx
.after3:
        try 4, mov eax, [rbx]           ; SMEP is for fetches

        mov rax, cr4
        or eax, 1 << 21
        mov cr4, rax
        try 5, mov eax, [rbx]
        try 6, mov [rbx], eax
        try 7, mov eax, [rdx]
        stac
        try 8, mov eax, [rbx]
        try 9, mov [rbx], eax
        try 10, mov [rsi], eax          ; WP still holds
        begin_step 11, A, .after11
        call rbx                        ; AC does not lift SMEP
.after11:
        mov rsp, KERNEL_STACK
        clac
        try 12, mov eax, [rbx]
        stac
        try 13, int3                    ; and IRET brings AC back
        try 14, mov eax, [rbx]

; Implicit accesses, as of a descriptor table, heed no AC. Bochs takes them for explicit ones. The table is an LDT on the
; user page.
        mov rax, [gdt + DATA32]
        mov [rbx + 16], rax
        set_descriptor 0x80, A, 0xff, 0x0082
        mov qword [gdt + 0x88], 0
        mov eax, 0x80
        lldt ax
        mov eax, 16 | 4
        try 15, mov es, ax
        clac

; Without SMAP all is as before; STAC works where CPUID shows it, whatever CR4 says.
        mov rax, cr4
        and eax, ~(1 << 21)
        mov cr4, rax
        try 16, mov eax, [rbx]
        try 17, stac
        pushfq
        pop rax
        and eax, 1 << 18
        note rax
        clac

; Level 3 may not use STAC and CLAC. Its code is on the page A.
        mov dword [A], 0x90cb010f       ; STAC; NOP
        mov dword [A + 4], 0x90ca010f   ; CLAC; NOP
        mov word [A + 8], 0x30cd        ; INT 30h
        or dword [PT + (step >> 12) * 8], 4
        flush_tlb
        begin_step 18, A, A + 4
        mov dword [hook], second
        user A
        finish

; After the fault of the first instruction: the second.
second:
        mov dword [step], 19
        mov dword [tried], A + 4
        mov dword [resume], A + 8
        ret
