; HLT with interrupts off stops for good.
;
; mode: long64
; steps: 1
; end: halt
; expect:
%include "runtime.inc"

main:
        mov dword [step], 1
        cli
        hlt
        finish
