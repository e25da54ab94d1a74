; TF: a trap after each instruction, and where that is less simple: REP, MOV SS, POPF, INT n, SYSCALL, faults, branches
; (SDM vol. 3A 17.3.1.4).
;
; mode: long64
; steps: 12
; expect:
;   1: #DB +1
;   1: #DB +3
;   1: #DB +4
;   1: #DB +b
;   1: #DB +c
;   2: #DB
;   2: = 0000000000000002
;   2: #DB
;   2: = 0000000000000001
;   2: #DB +2
;   2: = 0000000000000000
;   2: #DB +3
;   2: = 0000000000000000
;   2: #DB +a
;   2: = 0000000000000000
;   2: #DB +b
;   2: = 0000000000000000
;   3: #DB +3
;   3: #DB +4
;   3: #DB +5
;   3: #DB +c
;   3: #DB +d
;   4: #DB +3
;   4: #DB +4
;   4: #DB +5
;   4: #DB +c
;   4: #DB +d
;   5: #BP +1
;   5: #DB +2
;   5: #DB +3
;   5: #DB +a
;   5: #DB +b
;   6: #UD
;   6: #DB +3
;   6: #DB +4
;   6: #DB +b
;   6: #DB +c
;   7: #DB +1
;   7: #DB +2
;   7: #DB +9
;   7: #DB +a
;   8: = 00000000ffff4ff0
;   8: = 00000000ffff0ff0
;   9: #DB cs=0080
;   10: #DB +1 cs=0080
;   10: #DB +2 cs=0080
;   10: #DB +3 cs=0080
;   10: #DB +a cs=0080
;   10: #DB +b cs=0080
;   10: = 0000000000000100
;   11: #DB +1 cs=0080
;   11: #DB +2 cs=0080
;   11: #DB +3 cs=0080
;   11: #DB +4 cs=0080
;   11: #DB +b cs=0080
;   11: #DB +c cs=0080
;   12: #DB +1 cs=0080
;   12: #DB +2 cs=0080
;   12: #DB +3 cs=0080
;   12: #DB +a cs=0080
;   12: #DB +b cs=0080
%include "runtime.inc"

%macro stepping_on 0
        pushfq
        or dword [rsp], 0x100
        popfq
%endmacro

; stepped step: begins a step whose offsets count from the first instruction that is trapped.
%macro stepped 1
        begin_step %1, %%at, 0
        pushfq
        or dword [rsp], 0x100
        popfq
%%at:
%endmacro

; Off again, in three instructions that are trapped.
%macro stepping_off 0
        pushfq
        and dword [rsp], ~0x100
        popfq
%endmacro

main:
; The POPFQ that sets TF is not trapped, the one that clears it is: what counts is TF before the instruction.
        stepped 1
        nop
        inc eax
        stepping_off

; Each iteration of a repeated instruction.
        mov ecx, 3
        mov esi, FREE
        mov edi, FREE + 0x100
        mov dword [hook], show_rcx
        stepped 2
        rep movsb
        stepping_off
        mov dword [hook], 0

; MOV SS and POP SS hold traps back for one instruction.
        mov eax, DATA32
        stepped 3
        mov ss, eax
        nop
        nop
        stepping_off
        stepped 4
        jmp .target
        nop
.target:
        nop
        stepping_off

; The handler of INT n runs without TF; the trap for INT n itself is lost, and IRET brings TF back.
        stepped 5
        int3
        nop
        stepping_off

; A fault comes instead of the trap; the saved flags have TF.
        begin_step 6, .ud2, .after_ud2
        stepping_on
.ud2:   ud2
.after_ud2:
        nop
        stepping_off

; IRET that sets TF: the trap comes after the next instruction.
        mov rax, rsp
        push DATA32
        push rax
        push 0x102
        push CODE64
        push .iret_target
        begin_step 7, .iret_target, 0
        iretq
.iret_target:
        nop
        stepping_off

; DR6 shows BS, and stays until it is cleared.
        mov dword [step], 8
        mov rax, dr6
        note rax
        xor eax, eax
        mov dr6, rax
        mov rax, dr6
        note rax

; SYSCALL with TF in SFMASK: no trap until flags bring it back; without: the trap is at the target.
        set_descriptor 0x80, 0, 0xfffff, 0xa09b
        set_descriptor 0x88, 0, 0xfffff, 0xc093
        write_msr 0xc0000081, 0x80 << 32
        write_msr 0xc0000082, number_of(.entered)
        write_msr 0xc0000084, 0x100
        begin_step 9, .entered, 0
        stepping_on
        syscall
.entered:
        nop
        nop
        begin_step 10, .pushfq, 0
        stepping_on
.pushfq:
        pushfq                          ; pushes TF
        pop rax
        stepping_off
        and eax, 0x100
        note rax
; STI: its shadow is for interrupts, not for traps.
        stepped 11
        sti
        nop
        cli
        stepping_off
; An instruction that reads the flags by LAHF and one that writes them by SAHF leave TF alone.
        stepped 12
        lahf
        sahf
        stepping_off
        finish

show_rcx:
        mov eax, ecx
        cmp dword [step], 2
        jne .done
        mov rax, [rsp + 8 + 24]         ; RCX as the recorder saved it
        note rax
.done:
        ret
