; Instructions across a page boundary: bytes from both pages, and a fault in the second page that tells its address and
; saves the instruction's.
;
; mode: long64
; steps: 6
; expect:
;   1: = 0000000044332211
;   2: = 0000000066552211
;   3: = 0000000088772211
;   4: #PF(0010) cr2=00181000
;   5: #PF(0011) cr2=00181000
; bochs:
;   3: = 0000000066552211
;   4: #PF(0010) cr2=00181002 +5
;   5: #PF(0011) cr2=00181002 +5
%include "runtime.inc"

A               equ PAGES
B               equ PAGES + 0x1000
FRAME           equ PAGES + 0x5000

main:
        map B, FRAME | 7
        invlpg [B]
        mov byte [B - 3], 0xb8          ; MOV EAX, 44332211h; RET
        mov dword [B - 2], 0x44332211
        mov byte [B + 2], 0xc3
        mov ebx, B - 3
        mov dword [step], 1
        call rbx
        note rax

; The second page changes under it (Bochs keeps what it decoded before): another frame, other bytes.
        mov dword [step], 2
        mov dword [FRAME], 0xc36655
        call rbx
        note rax
        mov dword [FRAME + 0x1000], 0xc38877
        map B, (FRAME + 0x1000) | 7
        invlpg [B]
        mov dword [step], 3
        call rbx
        note rax

        map B, 0
        invlpg [B]
        begin_step 4, B - 3, .after4
        call rbx
.after4:
        map B, (FRAME + 0x1000) | 7 | 1 << 63
        invlpg [B]
        begin_step 5, B - 3, .after5
        call rbx
.after5:
; The last instruction of a page needs nothing of the next.
        map B, 0
        invlpg [B]
        mov byte [B - 1], 0xc3
        mov ebx, B - 1
        mov dword [step], 6
        call rbx
        mov rsp, KERNEL_STACK
        finish
