; Unmasked floating-point exceptions: #MF waits for the next x87 instruction that checks, #XM comes at once, #UD in its
; place without OSXMMEXCPT, and no #MF with NE clear (SDM vol. 1 8.7, 11.5).
;
; mode: long64
; steps: 16
; expect:
;   3: = 000000000000b084
;   4: #MF
;   5: #MF
;   6: #MF
;   9: #XM
;   9: = 000000003f800000
;   9: = 0000000000001d84
;   10: #UD
;   12: #GP(0000)
;   15: #MF
;   16: = 00000000000080c1
%include "runtime.inc"

main:
        fninit
        mov word [FREE], 0x037b         ; ZM unmasked
        fldcw [FREE]
        fld1
        fldz
        try 1, fdivp                    ; 1 / 0: pending, no fault
        try 2, mov eax, ebx             ; not for others
        try 3, fnstsw ax                ; does not check
        movzx eax, ax
        note rax
        try 4, fld1                     ; checks
        try 5, fwait
        try 6, emms                     ; MMX checks too
        try 7, fnclex
        try 8, fwait
        fninit

        mov dword [FREE], 0x1f80 & ~0x200       ; MXCSR with division by zero unmasked
        ldmxcsr [FREE]
        mov eax, 0x3f800000
        movd xmm0, eax
        pxor xmm1, xmm1
        try 9, divss xmm0, xmm1
        movd eax, xmm0
        note rax                        ; the destination keeps its value
        stmxcsr [FREE]
        mov eax, [FREE]
        note rax
        mov rax, cr4
        and eax, ~0x400
        mov cr4, rax
        try 10, divss xmm0, xmm1
        mov rax, cr4
        or eax, 0x400
        mov cr4, rax
        mov dword [FREE], 0x1f80
        ldmxcsr [FREE]
        try 11, divss xmm0, xmm1
        mov dword [FREE], 0x10000       ; reserved bits
        try 12, ldmxcsr [FREE]

; A flag that is set while its mask is cleared: the next x87 instruction faults.
        fninit
        fldz
        fld1
        fdivrp
        try 13, fwait
        mov word [FREE], 0x037b
        try 14, fldcw [FREE]
        try 15, fwait
        fnclex
; Stack faults set the flag of invalid operations, and C1.
        fninit
        mov word [FREE], 0x037e
        fldcw [FREE]
        try 16, fstp st0
        fnstsw ax
        movzx eax, ax
        note rax
        fnclex
        finish
