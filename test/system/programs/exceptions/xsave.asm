; XCR0 and CR4.OSXSAVE: XGETBV, XSETBV and XSAVE without it are undefined; values of XCR0 that are not allowed; CPUID shows
; the bit (SDM vol. 1 13.3).
;
; mode: long64
; steps: 14
; expect:
;   1: #UD
;   2: #UD
;   3: #UD
;   3: = 0000000000000000
;   4: = 0000000000000001
;   5: = 0000000000000001
;   7: #GP(0000)
;   8: #GP(0000)
;   9: #GP(0000)
;   10: #GP(0000)
;   11: #GP(0000)
;   13: #GP(0000)
;   14: #GP(0000) cs=0043
%include "runtime.inc"

%macro set_xcr0 2
        xor ecx, ecx
        mov eax, %2
        xor edx, edx
        try %1, xsetbv
%endmacro

%macro show_osxsave 0
        mov eax, 1
        cpuid
        shr ecx, 27
        and ecx, 1
        note rcx
%endmacro

main:
        xor ecx, ecx
        try 1, xgetbv
        xor edx, edx
        mov eax, 3
        try 2, xsetbv
        try 3, xsave [FREE]
        show_osxsave
        mov rax, cr4
        or eax, 1 << 18
        mov cr4, rax
        mov dword [step], 4
        show_osxsave
        xor ecx, ecx
        xor edx, edx
        try 5, xgetbv
        note rax
        set_xcr0 6, 3
        set_xcr0 7, 2                   ; x87 must be there
        set_xcr0 8, 5                   ; AVX without SSE
        set_xcr0 9, 1 << 31 | 3
        mov ecx, 1
        mov eax, 3
        try 10, xsetbv                  ; there is only XCR0 to write
        mov eax, 3
        xor edx, edx
        try 11, xsave [FREE + 8]        ; not aligned to 64 bytes
        try 12, xsave [FREE]
        xor ecx, ecx
        mov dword [FREE + 512 + 8], 1   ; XCOMP_BV must be 0 for the standard form
        mov eax, 3
        try 13, xrstor [FREE]
        user outer
        finish

outer:
        mov eax, 3
        xor ecx, ecx
        xor edx, edx
        try 14, xsetbv
        kernel
