; Accesses across a page boundary: data from both pages, and a fault on either page leaves registers and memory as they
; were (SDM vol. 3A 4.10.4.1, 8.1.1).
;
; mode: long64
; steps: 13
; expect:
;   1: = 8877665544332211
;   1: = 0000000000000044
;   2: = 10eeccaa88664422
;   3: #PF(0003) cr2=00181000
;   3: = 8877665544332211
;   4: #PF(0003) cr2=00181000
;   5: #PF(0003) cr2=00181000
;   5: = ffffffffffffffff
;   5: = 8877665544332211
;   6: #PF(0000) cr2=00181000
;   6: = 0000000000005a5a
;   7: #PF(0000) cr2=00181000
;   8: #PF(0002) cr2=00181000
;   9: #PF(0000) cr2=00180000
;   10: #PF(0002) cr2=00182000
;   10: #PF(0000) cr2=00182000
;   10: = 0000000000000004
;   10: = fffffffffffffffc
;   10: = 0000000000005a5a
;   11: #PF(0002) cr2=00183000
;   11: = 0000000000000054
;   11: = 0000000000000000
;   11: = 0000000000000010
;   12: #PF(0000) cr2=00183fff
;   12: = 000000000000005c
;   13: #PF(0002) cr2=00183000
;   13: = 0000000000000004
%include "runtime.inc"

A               equ PAGES
B               equ PAGES + 0x1000
FRAME           equ PAGES + 0x5000      ; what B is mapped to: not the neighbour

main:
        map B, FRAME | 7
        invlpg [B]
        mov rax, 0x8877665544332211
        mov [B - 3], rax
        mov dword [step], 1
        mov rbx, [B - 3]
        note rbx
        movzx ebx, byte [FRAME]
        note rbx
        mov dword [step], 2
        mov rbx, [B - 3]
        lock xadd [B - 3], rax          ; across the boundary, locked
        note qword [B - 3]
        mov qword [B - 3], rbx

        map B, FRAME | 5
        invlpg [B]
        mov rcx, -1
        try 3, mov [B - 3], rcx
        note qword [B - 3]
        try 4, add [B - 3], ecx
        try 5, xchg [B - 3], rcx
        note rcx
        note qword [B - 3]
        map B, 0
        invlpg [B]
        mov rdx, 0x5a5a
        try 6, mov rdx, [B - 3]
        note rdx
        try 7, add rdx, [B - 3]
        movdqu xmm0, [SCRATCH]
        try 8, movdqu [B - 3], xmm0
        map A, 0
        invlpg [A]
        try 9, mov rdx, [A - 1]         ; the second page, from below
        map A, A | 7
        map B, FRAME | 7

; A push and a pop that fault leave RSP. The interrupt gate takes another stack for it.
        mov word [idt + 14 * 16 + 4], 0x8e01
        map A + 0x2000, 0
        invlpg [A + 0x2000]
        mov rbp, rsp
        mov rsp, A + 0x2004
        try 10, push rbp
        mov rax, rsp
        mov rsp, A + 0x1ffc
        mov dword [tried], .pop
        mov dword [resume], .popped
.pop:   pop rdx
.popped:
        mov rbx, rsp
        mov rsp, rbp
        mov word [idt + 14 * 16 + 4], 0x8e00
        sub rax, A + 0x2000
        note rax
        sub rbx, A + 0x2000
        note rbx
        note rdx
        map A + 0x2000, (A + 0x2000) | 7

; String moves: the registers stand at the element that faulted.
        map A + 0x3000, 0
        invlpg [A + 0x3000]
        mov esi, FREE
        mov edi, A + 0x2ff0
        mov ecx, 100
        try 11, rep movsb
        note rcx
        sub rdi, A + 0x3000
        note rdi
        sub rsi, FREE
        note rsi
        std
        mov esi, A + 0x4007
        mov edi, FREE + 0x100
        mov ecx, 100
        try 12, rep movsb
        cld
        note rcx
        mov edi, A + 0x2ffc
        mov ecx, 4
        try 13, rep stosq
        note rcx
        finish
