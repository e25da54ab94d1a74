; RDMSR and WRMSR of what is not there or not allowed, and what MSRs take (SDM vol. 4).
;
; mode: long64
; steps: 13
; expect:
;   1: #GP(0000)
;   2: #GP(0000)
;   3: #GP(0000)
;   4: #GP(0000)
;   5: #GP(0000)
;   6: = 0000000000070106
;   8: = 0000000000001234
;   9: #GP(0000)
;   10: = 0000000000000000
;   12: #GP(0000) cs=0043
;   13: #GP(0000) cs=0043
; bochs:
;   9: none
%include "runtime.inc"

; write step, msr, high, low
%macro write 4
        mov ecx, %2
        mov edx, %3
        mov eax, %4
        try %1, wrmsr
%endmacro

main:
        mov ecx, 0x4000
        try 1, rdmsr
        write 2, 0x4000, 0, 0
        mov ecx, 0xc0001fff
        try 3, rdmsr
        mov ecx, 0x40000fff
        try 4, rdmsr
        write 5, 0x277, 0x00070406, 0x00070402          ; PAT: type 2 is reserved
        write 6, 0x277, 0x00070406, 0x00070106
        read_msr 0x277
        note rax
        write 7, 0x277, 0x00070406, 0x00070406
        write 8, 0xc0000103, 0, 0x1234                  ; TSC_AUX
        rdtscp
        note rcx
        write 9, 0xc0000103, 1, 0                       ; its upper half is reserved, says Intel
        write 10, 0x10, 0x100, 0                        ; TSC
        rdtsc
        sub edx, 0x100
        note rdx
        mov rax, cr4
        or eax, 4                                       ; TSD
        mov cr4, rax
        try 11, rdtsc
        user outer
        finish

outer:
        try 12, rdtsc
        try 13, rdtscp
        kernel
