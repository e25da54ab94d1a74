; Code that changes itself: the next instruction, in the same straight run of code, in a loop, by string moves, through
; another mapping, across a page boundary. A branch is not needed on processors since the Pentium Pro for the same linear
; address; for another one a serialising instruction is (SDM vol. 3A 8.1.3, 11.6).
;
; mode: long64
; steps: 8
; expect:
;   1: = 0000000000001111
;   2: = 000000000007a314
;   3: = 0000000000000001
;   4: = 0000000000001103
;   4: = 0000000000001105
;   5: = 0000000000000007
;   6: = 0000000001010101
;   6: = 0000000001550101
;   7: = 0000000000000000
;   8: = 0000000000000000
%include "runtime.inc"

A               equ PAGES
ALIAS           equ PAGES + 0x1000

main:
        mov dword [step], 1
        xor eax, eax
        mov dword [.next + 1], 0x1111
.next:  mov eax, 0x2222                 ; the very next instruction
        note rax

; A loop that counts up its own immediate.
        mov dword [step], 2
        xor ebx, ebx
        mov ecx, 1000
.loop:
.add:   add ebx, strict dword 1
        inc dword [.add + 2]
        dec ecx
        jnz .loop
        note rbx

; An instruction ahead in the same run becomes another one.
        mov dword [step], 3
        mov ecx, 3
        xor ebx, ebx
.again:
        mov byte [.ahead], 0x90         ; NOP for INC EBX's first byte...
        mov byte [.ahead + 1], 0x90
        cmp ecx, 2
        jne .ahead
        mov word [.ahead], 0xc3ff       ; ...and back in the second round
.ahead: inc ebx
        dec ecx
        jnz .again
        note rbx

; Written by a string move.
        mov dword [step], 4
        mov esi, routine3
        mov edi, A
        mov ecx, 4
        rep movsb
        mov edx, A
        call rdx
        note rax
        mov esi, routine5
        mov edi, A
        mov ecx, 4
        rep movsb
        call rdx
        note rax

; Through another linear address, then a serialising instruction.
        map ALIAS, A | 7
        invlpg [ALIAS]
        mov dword [step], 5
        mov byte [ALIAS + 1], 7
        xor eax, eax
        cpuid
        mov edx, A
        call rdx
        note rax

; Across a page boundary: the second page's bytes are written.
        mov dword [step], 6
        map ALIAS, ALIAS | 7
        invlpg [ALIAS]
        mov edx, ALIAS - 2
        mov byte [ALIAS - 2], 0xb8      ; MOV EAX, imm32
        mov dword [ALIAS - 1], 0x01010101
        mov byte [ALIAS + 3], 0xc3
        call rdx
        note rax
        mov byte [ALIAS + 1], 0x55
        call rdx
        note rax

; A REP STOS that overwrites what follows it.
        mov dword [step], 7
        mov edi, .target
        mov al, 0x90
        mov ecx, 3
        xor ebx, ebx
        rep stosb
.target:
        add ebx, 1                      ; three bytes
        note rbx

; By a push: the stack pointer in the code.
        mov dword [step], 8
        mov rbp, rsp
        mov rsp, .pushed + 8
        mov rax, 0x9090909090909090
        push rax
.pushed:
        add ebx, 2
        add ebx, 4
        nop
        nop
        mov rsp, rbp
        note rbx
        finish

routine3:
        mov al, 3
        ret
        nop
routine5:
        mov al, 5
        ret
        nop
