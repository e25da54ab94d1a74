; When a pending interrupt is taken: after the instruction that follows STI, after the one that follows MOV SS or POP SS,
; at once after POPF and IRET (SDM vol. 3A 6.8.3). The interrupt is the local APIC's to itself.
;
; mode: long64
; steps: 9
; expect:
;   1: int 31 +2
;   3: int 31 +2
;   4: int 31
;   5: int 31 +4
;   6: int 31
;   7: int 31 +2
;   8: int 35 +2
;   8: int 22 +2
;   9: int 31 +c
%include "runtime.inc"

VECTOR          equ 0x31

; Sends VECTOR to this processor; interrupts are off. The x2APIC's SELF IPI register.
%macro pend 0
        mov ecx, 0x83f
        mov eax, VECTOR
        xor edx, edx
        wrmsr
        times 16 nop
%endmacro

main:
        call enable_x2apic
        mov dword [hook], end_of_interrupt

        pend
        begin_step 1, .sti, 0
.sti:   sti
        nop
        nop
        cli
        pend
        begin_step 2, .sti2, 0
.sti2:  sti                             ; one instruction, then off again: none is lost, none is taken
        cli
        nop
        begin_step 3, .sti3, 0
.sti3:  sti
        sti                             ; the second has no shadow
        nop
        cli

        pend
        mov eax, DATA32
        push 0x202
        begin_step 4, .popfq, 0
        popfq                           ; at once
.popfq: mov ss, eax
        nop
        cli

        pend
        mov eax, DATA32
        begin_step 5, .sti5, 0
.sti5:  sti
        mov ss, eax                     ; a shadow of its own, though it is in STI's
        nop
        nop
        cli

        pend
        mov rax, rsp
        push DATA32
        push rax
        push 0x202
        push CODE64
        push .iretq
        begin_step 6, .iretq, 0
        iretq
.iretq: nop
        nop
        cli

; STI, HLT: the interrupt ends the HLT, it does not come before.
        pend
        begin_step 7, .sti7, 0
.sti7:  sti
        hlt
        nop
        cli

; Two vectors: the higher one first, the other after its end.
        mov ecx, 0x83f
        mov eax, 0x22
        xor edx, edx
        wrmsr
        mov eax, 0x35
        wrmsr
        times 16 nop
        begin_step 8, .sti8, 0
.sti8:  sti
        nop
        nop
        cli

; CR8 holds back its class and those below.
        mov eax, 3
        mov cr8, rax
        pend
        begin_step 9, .sti9, 0
.sti9:  sti
        nop
        nop
        mov eax, 2
        mov cr8, rax
        nop
        cli
        xor eax, eax
        mov cr8, rax
        finish

enable_x2apic:
        mov ecx, 0x1b
        rdmsr
        or eax, 0xc00
        wrmsr
        mov ecx, 0x80f                  ; spurious vector, APIC on
        mov eax, 0x13f
        xor edx, edx
        wrmsr
        xor eax, eax
        mov ecx, 0x808                  ; TPR
        wrmsr
        ret

end_of_interrupt:
        push rcx
        push rdx
        mov ecx, 0x80b
        xor eax, eax
        xor edx, edx
        wrmsr
        pop rdx
        pop rcx
        ret
