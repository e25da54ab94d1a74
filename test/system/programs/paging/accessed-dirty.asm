; Accessed and dirty bits: set by which access, at which level, and not by what faults (SDM vol. 3A 4.8).
;
; mode: protected32
; steps: 14
; expect:
;   1: = 00000007
;   1: = 00000027
;   1: = 00000067
;   2: = 00000067
;   3: = 00000067
;   4: #PF(0003) cr2=00180000
;   4: = 00000005
;   5: = 00000025
;   6: = 00000067
;   7: #PF(0007) cr2=00180000 cs=0033
;   7: = 00000003
;   8: = 00000040
;   9: = 00000020
;   10: = 004000a7
;   10: = 004000e7
;   11: = 00000067
;   12: = 00000027
;   13: #PF(0002) cr2=00181000
;   13: = 00001234
%include "runtime.inc"

A               equ PAGES
; show step: the low 12 bits of the entry of page A, then of its directory entry.
%macro show 0
        push eax
        mov eax, [PT32 + (A >> 12) * 4]
        and eax, 0xfff
        note eax
        pop eax
%endmacro

; fresh flags: the page with these flags, not in the TLB.
%macro fresh 1
        map A, A | (%1)
        flush_tlb
%endmacro

main:
        paging_32bit
        mov eax, cr0
        or eax, 0x10000
        mov cr0, eax

        fresh 7
        mov dword [step], 1
        show
        mov eax, [A]
        show
        mov [A], eax
        show
        fresh 7
        try 2, mov [A], eax             ; both at once
        show
        fresh 7
        try 3, cmpxchg [A], ebx         ; writes in any case
        show
        fresh 5
        try 4, mov [A], eax             ; a fault sets nothing
        show
        fresh 5
        try 5, mov eax, [A]
        show
        fresh 0x47                      ; dirty already: stays
        try 6, mov eax, [A]
        show
        fresh 3
        user outer
        mov dword [step], 7
        show

; A page that was read is in the TLB as clean: the first write still sets D.
        fresh 7
        mov eax, [A]
        mov dword [step], 8
        and dword [PT32 + (A >> 12) * 4], ~0x20
        mov [A], eax
        mov eax, [PT32 + (A >> 12) * 4]
        and eax, 0x40
        note eax

; The directory entry gets A, never D; a large page's gets both.
        mov dword [step], 9
        mov eax, [PD32]
        and eax, 0x60
        note eax
        mov dword [PD32 + 4], LARGE | 0x87
        flush_tlb
        mov dword [step], 10
        mov eax, [LARGE]
        note dword [PD32 + 4]
        mov [LARGE], eax
        note dword [PD32 + 4]

; A descriptor load, a push and an instruction fetch.
        mov dword [step], 11
        fresh 7
        mov eax, esp
        mov esp, A + 0x800
        push ecx
        mov esp, eax
        show
        mov byte [A], 0xc3
        fresh 7
        mov dword [step], 12
        call A
        show

; The first half of an access that faults in its second page is not written.
        map A + 0x1000, 0
        fresh 7
        mov word [A + 0xffe], 0x1234
        try 13, mov [A + 0xffe], esp
        movzx eax, word [A + 0xffe]
        note eax
; A prefetch of a page that is not there is nothing.
        try 14, prefetcht0 [A + 0x1000]
        finish

outer:
        try 7, mov [A], eax
        kernel
