; A page that is mapped anew, or taken away, under a hot loop that reads, writes or executes it.
;
; mode: long64
; steps: 5
; expect:
;   1: = 00000000000f68ed
;   2: = 0000000000003a99
;   2: = 0000000000001387
;   3: = 0000000000009c40
;   4: #PF(0000) cr2=00180000
;   4: = 000000000000004c
;   5: #PF(0011) cr2=00182000
;   5: = 0000000000000020
%include "runtime.inc"

A               equ PAGES
B               equ PAGES + 0x1000
CODE            equ PAGES + 0x2000
ROUNDS          equ 20000

main:
        mov dword [A], 1
        mov dword [B], 100

; Sums what is at A; halfway A becomes B.
        mov dword [step], 1
        xor ebx, ebx
        mov ecx, ROUNDS
.read:
        add ebx, [A]
        cmp ecx, ROUNDS / 2
        jne .same
        map A, B | 7
        invlpg [A]
.same:
        dec ecx
        jnz .read
        note rbx
        map A, A | 7
        invlpg [A]

; The same for writes.
        mov dword [step], 2
        mov qword [A + 8], 0
        mov qword [B + 8], 0
        mov ecx, ROUNDS
.write:
        inc dword [A + 8]
        cmp ecx, ROUNDS / 4
        jne .same2
        map A, B | 7
        invlpg [A]
.same2:
        dec ecx
        jnz .write
        map A, A | 7
        invlpg [A]
        note qword [A + 8]
        note qword [B + 8]

; Code: two routines in two frames, at one linear address.
        mov dword [A], 0xc301c383       ; ADD EBX, 1; RET
        mov dword [B], 0xc303c383       ; ADD EBX, 3; RET
        map CODE, A | 7
        invlpg [CODE]
        mov dword [step], 3
        xor ebx, ebx
        mov ecx, ROUNDS
        mov edx, CODE
.call:
        call rdx
        cmp ecx, ROUNDS / 2 + 1
        jne .same3
        map CODE, B | 7
        invlpg [CODE]
.same3:
        dec ecx
        jnz .call
        note rbx

; Taken away: the read faults at the round where it is.
        mov ecx, ROUNDS
        begin_step 4, .take, .gone
.gone_loop:
.take:  mov eax, [A]
        cmp ecx, 77
        jne .same4
        map A, 0
        invlpg [A]
.same4:
        dec ecx
        jnz .gone_loop
.gone:
        note rcx
        map A, A | 7

; Code that is not executable any more.
        mov ecx, ROUNDS
        begin_step 5, CODE, .forbidden
.call2:
        call rdx
        cmp ecx, 33
        jne .same5
        map CODE, A | 7 | 1 << 63
        invlpg [CODE]
.same5:
        dec ecx
        jnz .call2
.forbidden:
        note rcx
        finish
