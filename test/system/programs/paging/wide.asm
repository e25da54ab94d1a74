; 32-bit paging with 4 MiB pages: bits 39:32 of the address are in the entry (PSE-36), bits of it that must be zero, and
; CR4.PSE off (SDM vol. 3A 4.3).
;
; mode: protected32
; steps: 6
; expect:
;   1: = abcd1234
;   2: #PF(0009) cr2=01000000
;   3: #PF(000b) cr2=01000000
;   4: = 55667788
;   5: #PF(0000) cr2=01001000
;   6: = 00180027
%include "runtime.inc"

main:
        paging_32bit
        mov dword [LARGE + 0x123450], 0xabcd1234
        mov dword [PD32 + 4 * 4], LARGE | 0x83          ; 16 MiB is 4 MiB again
        flush_tlb
        mov dword [step], 1
        note dword [0x1000000 + 0x123450]
        mov dword [PD32 + 4 * 4], LARGE | 0x200083      ; bit 21 is reserved
        flush_tlb
        try 2, mov eax, [0x1000000]
        try 3, mov [0x1000000], eax

; Without PSE the same entry leads to a table at 4 MiB.
        mov dword [PD32 + 4 * 4], LARGE | 0x87
        mov dword [LARGE], PAGES | 7
        mov dword [LARGE + 4], 0
        mov dword [PAGES], 0x55667788
        mov dword [PD32 + 4], PT32 | 7                  ; for what else lies above 4 MiB
        mov eax, cr4
        and eax, ~0x10
        mov cr4, eax
        mov dword [step], 4
        note dword [0x1000000]
        try 5, mov eax, [0x1001000]
        mov eax, cr4
        or eax, 0x10
        mov cr4, eax
        mov dword [step], 6
        note dword [0x1000000]
        finish
