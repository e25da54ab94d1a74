; A fault while a double fault is delivered shuts the processor down (SDM vol. 3A 6.15, interrupt 8).
;
; mode: protected32
; steps: 1
; end: triple-fault
; expect:
%include "runtime.inc"

main:
        mov dword [step], 1
        and byte [idt + 8 * 8 + 5], 0x7f
        and byte [idt + 13 * 8 + 5], 0x7f
        xor eax, eax
        mov es, ax
        mov al, [es:0]
        finish
