; The local descriptor table: LLDT and SLDT, selectors with TI set, LTR and STR and what they refuse (SDM vol. 3A 2.4).
;
; mode: protected32
; steps: 16
; expect:
;   1: = 00000060
;   2: = cafef00d
;   3: = 00000014
;   4: #BP +1 cs=0014
;   5: #GP(0004)
;   6: #GP(001c)
;   7: #GP(0010)
;   8: #NP(0068)
;   9: #GP(000c)
;   11: #GP(000c)
;   12: #GP(0000)
;   13: #GP(0048)
;   14: #NP(0070)
;   15: = 00008b00
;   15: = 00000078
;   16: #GP(0060)
%include "runtime.inc"

TABLE           equ SPARE
TABLE_ABSENT    equ SPARE + 8
TSS_ABSENT      equ SPARE + 0x10
TSS_FREE        equ SPARE + 0x18

main:
        set_descriptor TABLE, ldt, 0x17, 0x0082         ; three entries
        set_descriptor TABLE_ABSENT, ldt, 0x17, 0x0002
        set_descriptor TSS_ABSENT, task2, 0x67, 0x0009
        set_descriptor TSS_FREE, task2, 0x67, 0x0089
; LDT entries 1 and 2: data at FREE, code.
        set_descriptor ldt - gdt + 8, FREE, 0xfff, 0x4093
        set_descriptor ldt - gdt + 16, 0, 0xfffff, 0xc09b
        mov dword [FREE], 0xcafef00d

        mov eax, TABLE
        try 1, lldt ax
        sldt ebx
        note ebx
        mov eax, 8 | 4
        try 2, mov es, ax
        note dword [es:0]
        mov eax, USER_DATA32
        mov es, ax
        mov dword [step], 3
        jmp 16 | 4:.local
.local:
        mov eax, cs
        note eax
        try 4, int3                     ; and back by IRET to an LDT selector
        jmp CODE32:.global
.global:
        mov eax, 0 | 4                  ; entry 0 of the LDT is not null, but type 0
        try 5, mov es, ax
        mov eax, 24 | 4
        try 6, mov es, ax
        mov eax, DATA32
        try 7, lldt ax
        mov eax, TABLE_ABSENT
        try 8, lldt ax
        mov eax, 8 | 4
        try 9, lldt ax
        xor eax, eax                    ; null: no LDT, no fault
        try 10, lldt ax
        mov eax, 8 | 4
        try 11, mov fs, ax

        xor eax, eax
        try 12, ltr ax
        mov eax, TASK                   ; busy
        try 13, ltr ax
        mov eax, TSS_ABSENT
        try 14, ltr ax
        mov eax, TSS_FREE
        try 15, ltr ax
        note dword [gdt + TSS_FREE + 4]
        str ebx
        note ebx
        mov eax, TABLE
        try 16, ltr ax
        finish
