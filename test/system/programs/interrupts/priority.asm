; What comes first at an instruction boundary: traps of the instruction before, then NMI, then interrupts; breakpoints on
; the next instruction, then its faults (SDM vol. 3A table 6-2).
;
; mode: long64
; steps: 4
; expect:
;   1: #DB +1
;   1: int 31 +1
;   1: #DB +2
;   1: #DB +3
;   1: #DB +4
;   1: #DB +b
;   1: #DB +c
;   2: int 31
;   2: #DB
;   3: int 31
;   3: #UD
;   4: #DB +8
;   4: int 31 +8
; bochs:
;   2: #DB
;   2: int 31
%include "runtime.inc"

VECTOR          equ 0x31

%macro pend 0
        mov ecx, 0x83f
        mov eax, VECTOR
        xor edx, edx
        wrmsr
        times 16 nop
%endmacro

main:
        mov ecx, 0x1b
        rdmsr
        or eax, 0xc00
        wrmsr
        mov ecx, 0x80f
        mov eax, 0x13f
        xor edx, edx
        wrmsr
        mov dword [hook], after_event

; A single-step trap, then the interrupt that STI let in.
        pend
        begin_step 1, .sti, 0
        pushfq
        or dword [rsp], 0x100
        popfq
.sti:   sti
        nop
        nop
        pushfq
        and dword [rsp], ~0x300
        popfq

; The interrupt, then the breakpoint on the instruction that it came before (Bochs: the other way round).
        mov eax, .target
        mov dr0, rax
        mov eax, 0x401
        mov dr7, rax
        pend
        begin_step 2, .target, 0
        push 0x202
        popfq
.target:
        nop
        cli
        mov eax, 0x400
        mov dr7, rax

; A fault of the next instruction comes after the interrupt.
        pend
        begin_step 3, .fault, .after
        push 0x202
        popfq
.fault: ud2
.after: cli

; A data breakpoint's trap comes before the interrupt that was held back for the same boundary.
        mov eax, SCRATCH
        mov dr0, rax
        mov eax, 0x10401
        mov dr7, rax
        pend
        begin_step 4, .sti4, 0
.sti4:  sti
        mov [SCRATCH], al
        nop
        cli
        finish

; Ends interrupts, sets RF after breakpoints.
after_event:
        cmp dword [rsi], 0x101
        jne .interrupt
        or dword [rsi + 32], 1 << 16
        ret
.interrupt:
        cmp byte [rsi], VECTOR
        jne .done
        push rcx
        push rdx
        mov ecx, 0x80b
        xor eax, eax
        xor edx, edx
        wrmsr
        pop rdx
        pop rcx
.done:
        ret
