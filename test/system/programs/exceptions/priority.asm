; Which of several exceptions of one instruction is raised (SDM vol. 3A table 6-2).
;
; mode: protected32
; steps: 14
; expect:
;   1: #UD
;   2: #NM
;   3: #UD
;   4: #UD
;   5: #PF(0000) cr2=00180000
;   6: #GP(0000)
;   7: #PF(0000) cr2=00180000
;   8: #GP(0000) cs=0033
;   9: #GP(0000) cs=0033
;   10: #UD cs=0033
;   11: #GP(0000) cs=0033
;   12: #PF(0000) cr2=00180000
;   13: #DE
;   14: #DE
%include "runtime.inc"

BYTES           equ SPARE               ; limit 0fffh

main:
        set_descriptor BYTES, FREE, 0xfff, 0x40f3
        paging_32bit
        map PAGES, 0
        flush_tlb
        mov eax, cr0
        or eax, 8                       ; TS
        mov cr0, eax
        mov eax, BYTES
        mov es, ax

        try 1, db 0xf0, 0x0f, 0x0b      ; LOCK UD2: #UD in any case
        try 2, fld dword [es:0x1000]    ; #NM before the operand is looked at
        try 3, movaps xmm0, [PAGES]     ; #UD (OSFXSR is clear) before #NM
        begin_step 4, .lock_fld, .after4
.lock_fld:
        db 0xf0, 0xd9, 0x00             ; LOCK FLD: #UD before #NM
.after4:
        clts
        try 5, fld dword [PAGES]
        try 6, mov eax, [es:PAGES]      ; segment limit before paging
        try 7, mov eax, [cs:PAGES]

; Levels: #GP for a privileged instruction before its operand's page fault; #UD before both.
        user outer

; DIV: an operand that faults before the division that would.
        xor edx, edx
        mov eax, 1
        try 12, div dword [PAGES]
        mov dword [FREE], 0
        try 13, div dword [FREE]
        mov eax, 0x80000000
        mov edx, -1
        mov dword [FREE], -1
        try 14, idiv dword [FREE]       ; overflow: #DE too
        finish

outer:
        try 8, lgdt [PAGES]
        try 9, lmsw [PAGES]
        begin_step 10, .lock_lgdt, .after10
.lock_lgdt:
        db 0xf0, 0x0f, 0x01, 0x15       ; LOCK LGDT
        dd PAGES
.after10:
        mov dx, 0x60
        mov edi, PAGES
        mov ecx, 1
        try 11, insb
        kernel
