; Timers wake a halted processor: the local APIC's by TSC deadline and by count, the PIT through the PICs.
;
; mode: long64
; steps: 5
; expect:
;   1: int 33 +1
;   1: = 0000000000000000
;   2: int 33 +1
;   3: int 33 +1
;   3: = 0000000000000000
;   5: int 20 +1
; bochs:
;   1: int 33 +1
;   1: = 000000000000e82f
%include "runtime.inc"

TIMER           equ 0x33

main:
        mov ecx, 0x1b
        rdmsr
        or eax, 0xc00
        wrmsr
        mov ecx, 0x80f
        mov eax, 0x13f
        xor edx, edx
        wrmsr
        mov dword [hook], end_of_interrupt

; TSC deadline.
        mov ecx, 0x832
        mov eax, TIMER | 2 << 17
        wrmsr
        rdtsc
        add eax, 20000
        adc edx, 0
        mov ecx, 0x6e0
        wrmsr
        begin_step 1, .hlt1, 0
        sti
.hlt1:  hlt
        cli
        mov ecx, 0x6e0
        rdmsr                           ; disarmed (not on Bochs)
        note rax
        rdtsc
        mov ecx, 0x6e0                  ; in the past: at once
        wrmsr
        times 16 nop
        begin_step 2, .hlt2, 0
        sti
.hlt2:  hlt
        cli

; One-shot count, divided by 1.
        mov ecx, 0x83e
        mov eax, 0xb
        xor edx, edx
        wrmsr
        mov ecx, 0x832
        mov eax, TIMER
        wrmsr
        mov ecx, 0x838
        mov eax, 5000
        wrmsr
        begin_step 3, .hlt3, 0
        sti
.hlt3:  hlt
        cli
        mov ecx, 0x839
        rdmsr
        note rax

; Masked: it counts, nothing comes.
        mov ecx, 0x832
        mov eax, TIMER | 1 << 16
        xor edx, edx
        wrmsr
        mov ecx, 0x838
        mov eax, 100
        wrmsr
        mov dword [step], 4
        sti
        mov ecx, 1000
.spin:  loop .spin
        cli

; The PIT by way of the PIC, which LINT0 takes as an external interrupt.
        mov ecx, 0x835
        mov eax, 0x700
        xor edx, edx
        wrmsr
        mov al, 0x11
        out 0x20, al
        mov al, 0x20
        out 0x21, al
        mov al, 4
        out 0x21, al
        mov al, 1
        out 0x21, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0x30                    ; counter 0, mode 0
        out 0x43, al
        mov al, 0x40
        out 0x40, al
        mov al, 0
        out 0x40, al
        begin_step 5, .hlt5, 0
        sti
.hlt5:  hlt
        cli
        finish

end_of_interrupt:
        cmp dword [rsi], 0x120
        je .pic
        push rcx
        push rdx
        mov ecx, 0x80b
        xor eax, eax
        xor edx, edx
        wrmsr
        pop rdx
        pop rcx
        ret
.pic:
        mov al, 0x20
        out 0x20, al
        ret
