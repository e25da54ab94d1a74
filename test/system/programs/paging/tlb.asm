; When a changed mapping counts: INVLPG of the page, of any address in a large page, a load of CR3 that spares global
; pages, a change of CR4.PGE, PCIDs and INVPCID. Only what must be seen is looked at, never what may be stale
; (SDM vol. 3A 4.10).
;
; mode: long64
; steps: 17
; expect:
;   1: #PF(0000) cr2=00180000
;   1: = 000000000000000a
;   2: = 000000000000000b
;   3: = 0000000000000044
;   4: = 0000000000000001
;   4: = 0000000000000002
;   4: = 0000000000000001
;   5: #PF(0003) cr2=00181000
;   7: = 000000000000000a
;   7: = 0000000000000001
;   8: = 000000000000000a
;   9: = 000000000000000a
;   9: = 0000000000000001
;   9: = 000000000000000a
;   10: = 000000000000000a
;   10: = 0000000000000001
;   10: = 000000000000000a
;   10: = 0000000000000001
;   10: = 0000000000028002
;   11: = 0000000000000001
;   12: = 000000000000000a
;   13: = 0000000000000001
;   14: #GP(0000)
;   15: #GP(0000)
;   16: #GP(0000)
;   17: #GP(0000)
%include "runtime.inc"

A               equ PAGES               ; filled with its own number, and so on
B               equ PAGES + 0x1000
BIG             equ 0x600000            ; 2 MiB pages with marks
BIG2            equ 0x800000
PML4_2          equ 0x28000             ; tables of a second address space
PDPT_2          equ 0x29000
PD_2            equ 0x2a000
PT_2            equ 0x2b000

; see linear: notes the byte there.
%macro see 1
        movzx eax, byte [%1]
        note rax
%endmacro

main:
        mov byte [A], 0xa
        mov byte [B], 0xb
        mov byte [BIG + 0x100000], 0x1
        mov byte [BIG2 + 0x100000], 0x2

; A page that was not present needs no flush once it is.
        map A, 0
        invlpg [A]
        try 1, mov al, [A]
        map A, A | 7
        see A

        mov dword [step], 2
        map A, B | 7
        invlpg [A + 0x123]
        see A

; A write through the new mapping goes to the new page.
        mov dword [step], 3
        mov byte [A + 4], 0x44
        see B + 4

; Large: INVLPG of any address flushes all of it.
        mov dword [step], 4
        see BIG + 0x100000
        mov rax, [BIG + 0x1000]
        mov dword [PD + 3 * 8], BIG2 | 0x87
        invlpg [BIG + 0x1fffff]
        see BIG + 0x100000
        mov dword [PD + 3 * 8], BIG | 0x87
        mov rax, cr3
        mov cr3, rax
        see BIG + 0x100000

; Rights that were taken away, after INVLPG; rights that were given, without.
        map B, B | 5
        invlpg [B]
        try 5, mov [B], al
        map B, B | 7
        try 6, mov [B], al              ; at most one spurious fault, which flushes

; Global pages survive a load of CR3, and the translation of one may be used without its entry.
        mov rax, cr4
        or eax, 0x80
        mov cr4, rax
        map A, A | 0x107
        invlpg [A]
        mov dword [step], 7
        see A
        map A, B | 0x107
        invlpg [A]                      ; INVLPG does flush global pages
        see A
        map A, A | 0x107
        mov rax, cr4                    ; and so does a change of PGE
        and eax, ~0x80
        mov cr4, rax
        mov dword [step], 8
        see A
        mov rax, cr4
        or eax, 0x80
        mov cr4, rax
        map A, A | 7
        invlpg [A]

; A second address space: A is B there.
        mov esi, PML4
        mov edi, PML4_2
        mov ecx, 4 * 4096 / 8
        rep movsq
        mov dword [PML4_2], PDPT_2 | 7
        mov dword [PDPT_2], PD_2 | 7
        mov dword [PD_2], PT_2 | 7
        mov dword [PT_2 + (A >> 12) * 8], B | 7
        mov dword [step], 9
        see A
        mov eax, PML4_2
        mov cr3, rax
        see A
        mov eax, PML4
        mov cr3, rax
        see A

; With PCIDs, and bit 63 set so that nothing is flushed.
        mov rax, cr4
        or eax, 1 << 17
        mov cr4, rax
        mov eax, PML4 | 1
        mov cr3, rax
        mov dword [step], 10
        see A
        mov eax, PML4_2 | 2
        mov cr3, rax
        see A
        mov rax, 1 << 63 | PML4 | 1
        mov cr3, rax
        see A
        mov rax, 1 << 63 | PML4_2 | 2
        mov cr3, rax
        see A
        mov rax, cr3
        note rax                        ; bit 63 reads as 0

; INVPCID: one address of another space, all of it, everything.
        mov dword [PT + (A >> 12) * 8], B | 7
        mov qword [SCRATCH], 1
        mov qword [SCRATCH + 8], A
        xor eax, eax
        mov dword [step], 11
        invpcid rax, [SCRATCH]
        mov rax, 1 << 63 | PML4 | 1
        mov cr3, rax
        see A
        mov dword [PT_2 + (A >> 12) * 8], A | 7
        mov qword [SCRATCH], 2
        mov eax, 1
        mov dword [step], 12
        invpcid rax, [SCRATCH]
        mov rax, 1 << 63 | PML4_2 | 2
        mov cr3, rax
        see A
        mov dword [PT_2 + (A >> 12) * 8], B | 7
        mov eax, 3
        mov dword [step], 13
        invpcid rax, [SCRATCH]
        see A
        mov eax, 4                      ; no such type
        try 14, invpcid rax, [SCRATCH]
        mov qword [SCRATCH], 0x1000     ; reserved bits
        xor eax, eax
        try 15, invpcid rax, [SCRATCH]

; PCIDE can only be set with CR3[11:0] = 0, and cleared at any time.
        mov rax, cr4
        and eax, ~(1 << 17)
        mov cr4, rax
        mov eax, PML4 | 0x18
        mov cr3, rax
        mov rax, cr4
        or eax, 1 << 17
        try 16, mov cr4, rax
        mov eax, PML4
        mov cr3, rax
        mov rax, 1 << 63 | PML4         ; bit 63 is reserved without PCIDE
        try 17, mov cr3, rax
        finish
