; PAE: three levels, NX, 2 MiB pages, reserved bits, and page-directory-pointer entries that are read when CR3 is loaded
; (SDM vol. 3A 4.4).
;
; mode: protected32
; steps: 16
; expect:
;   3: #PF(0011) cr2=00180000
;   4: #PF(0009) cr2=00180000
;   5: #PF(000b) cr2=00180000
;   6: #PF(0000) cr2=00180000
;   7: #PF(0009) cr2=00400000
;   9: #PF(0011) cr2=00400000
;   10: #PF(0015) cr2=00400000 cs=0033
;   11: #PF(0004) cr2=40000000 cs=0033
;   12: #PF(0009) cr2=00180000
;   13: #PF(0000) cr2=40180000
;   15: #GP(0000)
%include "runtime.inc"

A               equ PAGES
%macro pae 2
        mov dword [PT + ((%1) >> 12) * 8], (%2) & 0xffffffff
        mov dword [PT + ((%1) >> 12) * 8 + 4], (%2) >> 32
%endmacro

main:
        paging_pae
        mov byte [A], 0xc3
        mov byte [A + 0x1000], 0xc3
        try 1, mov eax, [A]
        pae A, A | 7 | 1 << 63
        flush_tlb
        try 2, mov eax, [A]
        begin_step 3, A, .after3
        call A
.after3:
        mov esp, KERNEL_STACK
        pae A, A | 7 | 1 << 52          ; beyond any physical address
        flush_tlb
        try 4, mov eax, [A]
        try 5, mov [A], eax
        pae A, 1 << 52                  ; not present: no matter
        flush_tlb
        try 6, mov eax, [A]

; A 2 MiB page with its reserved bits, and one that is not executable.
        mov dword [PD + 2 * 8], LARGE | 0x2087
        flush_tlb
        try 7, mov eax, [LARGE]
        mov dword [PD + 2 * 8], LARGE | 0x87
        mov dword [PD + 2 * 8 + 4], 0x80000000
        mov byte [A + 0x1000], 0xc3
        flush_tlb
        try 8, mov [LARGE], eax
        begin_step 9, LARGE, .after9
        call LARGE
.after9:
        mov esp, KERNEL_STACK
        user outer

; Without EFER.NXE the bit is reserved.
        pae A, A | 7 | 1 << 63
        write_msr 0xc0000080, 0
        flush_tlb
        try 12, mov eax, [A]
        write_msr 0xc0000080, 0x800
        pae A, A | 7

; PDPTEs: a change counts from the next load of CR3 on; with reserved bits set that load is #GP, and nothing changed.
        mov dword [PDPT_PAE + 8], PD | 1        ; second GiB like the first
        try 13, mov eax, [0x40000000 + A]
        flush_tlb
        try 14, mov eax, [0x40000000 + A]
        mov dword [PDPT_PAE + 8], PD | 3
        mov eax, PDPT_PAE
        try 15, mov cr3, eax
        try 16, mov eax, [0x40000000 + A]
        finish

outer:
        begin_step 10, LARGE, .after10
        call LARGE
.after10:
        try 11, mov eax, [0x40000000]
        kernel
