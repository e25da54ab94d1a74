; Alignment checks: only with CR0.AM and EFLAGS.AC at level 3, with the sizes of the data types; #GP for SSE whatever AC is
; (SDM vol. 3A 6.15, interrupt 17).
;
; mode: long64
; steps: 17
; expect:
;   2: #GP(0000)
;   4: #AC(0000) cs=0043
;   5: #AC(0000) cs=0043
;   6: #AC(0000) cs=0043
;   8: #AC(0000) cs=0043
;   11: #GP(0000) cs=0043
;   12: #AC(0000) cs=0043
;   13: #AC(0000) cs=0043
;   14: #AC(0000) cs=0043
;   17: = 0000000000040000
%include "runtime.inc"

main:
        mov rbx, FREE + 1
        pushfq
        or dword [rsp], 1 << 18
        popfq
        mov rax, cr0
        or eax, 1 << 18
        mov cr0, rax
        try 1, mov eax, [rbx]           ; not at level 0
        try 2, movaps xmm0, [rbx]
        user outer
        mov rax, cr0
        and eax, ~(1 << 18)
        mov cr0, rax
        pushfq
        or dword [rsp], 1 << 18
        popfq
        user unchecked
        finish

outer:
        try 3, mov al, [rbx]
        try 4, mov ax, [rbx]
        try 5, mov eax, [rbx]
        try 6, mov [rbx + 1], eax       ; 2-aligned, 4 wanted
        try 7, mov ax, [rbx + 1]
        try 8, mov rax, [rbx + 3]       ; 4-aligned, 8 wanted
        try 9, push qword [rbx + 7]
        add rsp, 8
        try 10, movups xmm0, [rbx + 15]
        try 11, movaps xmm0, [rbx]      ; #GP, not #AC
        try 12, fld qword [rbx + 3]
        try 13, lock add [rbx], eax
        mov rsp, USER_STACK - 0x101
        try 14, push rax
        mov rsp, USER_STACK
; AC off: no checks.
        pushfq
        and dword [rsp], ~(1 << 18)
        popfq
        try 15, mov eax, [rbx]
        pushfq
        or dword [rsp], 1 << 18
        popfq
        kernel

unchecked:
        try 16, mov eax, [rbx]
        pushfq
        pop rax
        and eax, 1 << 18
        mov dword [step], 17
        note rax
        kernel
