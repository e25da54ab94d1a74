; #NM by CR0.TS and EM, with MP for WAIT; #UD for SSE by EM and without CR4.OSFXSR; CLTS (SDM vol. 3A 2.5, 9.2.5).
;
; mode: long64
; steps: 24
; expect:
;   1: #NM
;   2: #NM
;   3: #NM
;   4: #NM
;   5: #NM
;   6: #NM
;   7: #NM
;   14: #NM
;   15: #NM
;   17: #UD
;   18: #UD
;   20: #UD
%include "runtime.inc"

%macro cr0_bits 2                       ; to set, to clear
        mov rax, cr0
        or eax, %1
        and eax, ~(%2)
        mov cr0, rax
%endmacro

PE              equ 1
MP              equ 2
EM              equ 4
TS              equ 8

main:
        cr0_bits MP | TS, EM
        try 1, fld1
        try 2, fwait
        try 3, fninit
        try 4, movaps xmm0, xmm1
        try 5, emms
        try 6, fxsave [FREE]
        try 7, ldmxcsr [FREE]
        try 8, prefetchnta [FREE]       ; these use no FPU state
        try 9, sfence
        try 10, movnti [FREE], eax
        try 11, crc32 eax, ebx
        clts
        try 12, fninit
        cr0_bits TS, MP
        try 13, fwait                   ; TS and MP
        try 14, fld1
        clts
        cr0_bits EM, TS
        try 15, fld1
        try 16, fwait
        try 17, movaps xmm0, xmm1       ; #UD by EM
        try 18, emms
        cr0_bits MP, EM
        try 19, fld1
        mov rax, cr4
        and eax, ~0x200                 ; OSFXSR
        mov cr4, rax
        try 20, movaps xmm0, xmm1
        try 21, paddb mm0, mm1          ; MMX needs none
        try 22, fxsave [FREE]
        try 23, pshufb mm0, mm1         ; SSSE3's MMX forms neither
        mov rax, cr4
        or eax, 0x200
        mov cr4, rax
        try 24, movaps xmm0, xmm1
        finish
