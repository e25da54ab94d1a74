; A load sets the accessed bit of the descriptor; one that faults does not (SDM vol. 3A 3.4.5.1).
;
; mode: protected32
; steps: 5
; expect:
;   1: = 00cf9300
;   2: #NP(0068)
;   2: = 00cf1200
;   3: = 00cf9b00
;   4: = 00c0f200
;   4: = 00cff200
;   5: #PF(0003) cr2=00002078
%include "runtime.inc"

DATA            equ SPARE
ABSENT          equ SPARE + 8
CODE            equ SPARE + 0x10
USER            equ SPARE + 0x18

main:
        set_descriptor DATA, 0, 0xfffff, 0xc092
        set_descriptor ABSENT, 0, 0xfffff, 0xc012
        set_descriptor CODE, 0, 0xfffff, 0xc09a
        set_descriptor USER, 0, 0xfffff, 0xc0f2

        mov eax, DATA
        try 1, mov es, ax
        note dword [gdt + DATA + 4]
        mov eax, ABSENT
        try 2, mov es, ax
        note dword [gdt + ABSENT + 4]
        begin_step 3, 0, 0
        jmp CODE:.next
.next:
        note dword [gdt + CODE + 4]
        jmp CODE32:.back
.back:
; LAR, LSL and VERR look without touching.
        mov eax, USER
        try 4, verr ax
        lar ebx, eax
        and ebx, 0xfff0ffff             ; bits 19:16 are undefined
        note ebx
        note dword [gdt + USER + 4]
; What is not written is not made a write: an accessed descriptor may stand in memory that is write-protected.
        mov dword [step], 5
        paging_32bit
        mov eax, cr0
        or eax, 0x10000
        mov cr0, eax
        map gdt, gdt | 5
        flush_tlb
        mov eax, DATA
        try 5, mov es, ax
        mov eax, USER
        try 5, mov es, ax
; Which of the descriptor's bytes are written is not specified.
        and dword [log + 6 * LOG_ENTRY + LOG_CR2], ~7
        finish
