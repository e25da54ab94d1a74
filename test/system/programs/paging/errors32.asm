; 32-bit paging: the error code of each cause, U/S and R/W at both levels, WP, reads and writes of supervisor and user
; (SDM vol. 3A 4.3, 4.6, 4.7).
;
; mode: protected32
; steps: 20
; expect:
;   1: #PF(0000) cr2=00180000
;   2: #PF(0002) cr2=00180000
;   3: #PF(0000) cr2=00180ffe
;   4: #PF(0000) cr2=00180000
;   6: #PF(0003) cr2=00180000
;   8: #PF(0003) cr2=00180000
;   9: #PF(0003) cr2=00180000
;   11: #PF(0003) cr2=00580000
;   13: #PF(0005) cr2=00181000 cs=0033
;   14: #PF(0007) cr2=00181000 cs=0033
;   16: #PF(0007) cr2=00182000 cs=0033
;   17: #PF(0006) cr2=00183000 cs=0033
;   18: #PF(0005) cr2=00580000 cs=0033
;   19: #PF(0004) cr2=00800000 cs=0033
;   20: #PF(0005) cr2=00181000 cs=0033
%include "runtime.inc"

A               equ PAGES

main:
        mov dword [A], 0x11223344
        mov byte [A + 0x1000], 0xc3     ; RET
        paging_32bit
        map A, 0
        flush_tlb
        try 1, mov eax, [A]
        try 2, mov [A], eax
        try 3, mov eax, [A + 0xffe]
        begin_step 4, A, .after4
        call A
.after4:
        mov esp, KERNEL_STACK

; A page that is read-only: level 0 may write without WP.
        map A, A | 5
        flush_tlb
        try 5, mov [A], eax
        mov eax, cr0
        or eax, 0x10000
        mov cr0, eax
        try 6, mov [A], eax
        try 7, mov eax, [A]
        try 8, xchg eax, [A]            ; a read-modify-write is a write
        try 9, or dword [A], 0          ; also if nothing changes
        try 10, cmp dword [A], 0

; The directory entry counts too.
        map A, A | 7
        mov dword [PD32 + 4], PT32 | 5  ; the first 4 MiB again, read-only
        flush_tlb
        try 11, mov [LARGE + A], eax
        mov dword [PD32 + 4], PT32 | 3  ; supervisor
        mov dword [PD32 + 8], 0

        map A + 0x1000, (A + 0x1000) | 3
        map A + 0x2000, (A + 0x2000) | 5
        map A + 0x3000, 2
        flush_tlb
        user outer
        finish

outer:
        try 12, mov eax, [A]
        try 13, mov eax, [A + 0x1000]   ; supervisor page
        try 14, mov [A + 0x1000], eax
        try 15, mov eax, [A + 0x2000]
        try 16, mov [A + 0x2000], eax
        try 17, mov [A + 0x3000], eax   ; not present: other bits do not count
        try 18, mov eax, [LARGE + A]        ; supervisor by its directory entry
        try 19, mov eax, [2 * LARGE]
        begin_step 20, A + 0x1000, .after20
        call A + 0x1000                 ; without NX a fetch is not told from a read
.after20:
        kernel
