; 4-level paging: error codes, rights combined over the levels, reserved bits at each level, NX (SDM vol. 3A 4.5 to 4.7).
;
; mode: long64
; steps: 27
; expect:
;   1: #PF(0000) cr2=00180000
;   2: #PF(0002) cr2=00180000
;   3: #PF(0010) cr2=00180000
;   4: #PF(0003) cr2=00180000
;   6: #PF(0011) cr2=00180000
;   7: #PF(000b) cr2=00180000
;   8: #PF(0009) cr2=00400000
;   10: #PF(0009) cr2=40000000
;   11: = 0000000000000077
;   12: #PF(0009) cr2=8000000000
;   13: #PF(0009) cr2=8000000000
;   14: = 0000000000000077
;   15: #PF(0002) cr2=10000000000
;   16: #PF(0000) cr2=80000000
;   17: #PF(0000) cr2=00600000
;   18: #PF(0005) cr2=00181000 cs=0043
;   19: #PF(0007) cr2=00181000 cs=0043
;   20: #PF(0015) cr2=00181000 cs=0043
;   21: #PF(0007) cr2=00182000 cs=0043
;   22: #PF(0015) cr2=00183000 cs=0043
;   23: #PF(0005) cr2=40180000 cs=0043
;   24: #PF(0007) cr2=8000180000 cs=0043
;   25: #PF(0015) cr2=10000180000 @10000180000 cs=0043
;   26: #PF(0003) cr2=8000180000
%include "runtime.inc"

A               equ PAGES

; big index, entry: an entry of the page directory, a 2 MiB page or a table.
%macro big 2
        mov dword [PD + (%1) * 8], (%2) & 0xffffffff
        mov dword [PD + (%1) * 8 + 4], (%2) >> 32
%endmacro

main:
        mov rbx, A
        mov byte [A], 0xc3
        mov byte [A + 0x1000], 0xc3
        map A, 0
        flush_tlb
        try 1, mov eax, [rbx]
        try 2, mov [rbx], eax
        begin_step 3, A, .after3
        call rbx
.after3:
        mov rsp, KERNEL_STACK
        map A, A | 5
        flush_tlb
        try 4, mov [rbx], eax
        map A, A | 7 | 1 << 63
        flush_tlb
        try 5, mov [rbx], eax
        begin_step 6, A, .after6
        call rbx
.after6:
        mov rsp, KERNEL_STACK

; Reserved bits, from the leaf up.
        map A, A | 7 | 1 << 51
        flush_tlb
        try 7, mov [rbx], eax
        map A, A | 7
        big 2, LARGE | 0x2087           ; bit 13 of a 2 MiB page
        flush_tlb
        mov rcx, LARGE
        try 8, mov eax, [rcx]
        big 2, LARGE | 0x1087           ; bit 12 is PAT there
        flush_tlb
        try 9, mov eax, [rcx]
        big 2, LARGE | 0x87
        mov dword [PDPT + 8], 0x4000 | 0x87     ; a 1 GiB page with bit 14
        flush_tlb
        mov rcx, 0x40000000
        try 10, mov eax, [rcx]
        mov dword [PDPT + 8], 0x40000000 | 0x87
        flush_tlb
        mov byte [A], 0x77
        mov dword [PDPT + 8], 0x87      ; the first GiB again, as one page
        flush_tlb
        mov rcx, 0x40000000 + A
        try 11, mov al, [rcx]
        movzx eax, al
        note rax
        mov dword [PML4 + 8], PDPT | 0x87       ; PS in a PML4 entry
        flush_tlb
        mov rcx, 0x8000000000
        try 12, mov eax, [rcx]
        mov dword [PML4 + 8], PDPT | 7
        mov dword [PML4 + 12], 0x00080000
        flush_tlb
        try 13, mov eax, [rcx]
        mov dword [PML4 + 12], 0
        flush_tlb
        mov rcx, 0x8000000000 + A
        try 14, mov al, [rcx]
        movzx eax, al
        note rax

; Not present at each level.
        mov rcx, 0x10000000000
        try 15, mov [rcx], eax
        mov rcx, 0x80000000
        try 16, mov eax, [rcx]
        big 3, 0
        flush_tlb
        mov rcx, 0x600000
        try 17, mov eax, [rcx]

; Rights of users: every level must grant them. NX of any level holds.
        map A + 0x1000, (A + 0x1000) | 3
        map A + 0x2000, (A + 0x2000) | 5
        map A + 0x3000, (A + 0x3000) | 7 | 1 << 63
        big 4, (2 * LARGE) | 0x83
        mov dword [PDPT + 8], 0x83
        mov dword [PML4 + 8], PDPT | 5
        mov dword [PML4 + 16], PDPT | 7
        mov dword [PML4 + 20], 0x80000000
        flush_tlb
        user outer
        mov rcx, 0x8000000000 + A
        try 26, mov [rcx], eax
        mov rax, cr0
        and eax, ~0x10000
        mov cr0, rax
        try 27, mov [rcx], eax          ; without WP level 0 writes anywhere
        finish

outer:
        mov rcx, A + 0x1000
        try 18, mov eax, [rcx]
        try 19, mov [rcx], eax
        begin_step 20, A + 0x1000, .after20
        call rcx
.after20:
        mov rcx, A + 0x2000
        try 21, mov [rcx], eax
        mov rcx, A + 0x3000
        begin_step 22, A + 0x3000, .after22
        call rcx
.after22:
        mov rcx, 0x40000000 + A
        try 23, mov eax, [rcx]
        mov rcx, 0x8000000000 + A
        try 24, mov [rcx], eax
        mov rcx, 0x10000000000 + A
        mov dword [tried], 0
        begin_step 25, A, .after25
        call rcx
.after25:
        kernel
