; UMIP: SGDT, SIDT, SLDT, STR and SMSW are #GP(0) at level 3 only (SDM vol. 3A 2.5).
;
; mode: long64
; steps: 11
; expect:
;   3: = 0000000000000000
;   4: = 0000000000000048
;   6: = 00000000000003ff
;   6: = 0000000000002000
;   7: #GP(0000) cs=0043
;   8: #GP(0000) cs=0043
;   9: #GP(0000) cs=0043
;   10: #GP(0000) cs=0043
;   11: #GP(0000) cs=0043
%include "runtime.inc"

main:
        user all
        mov rax, cr4
        or eax, 1 << 11
        mov cr4, rax
        try 6, sgdt [SCRATCH]
        movzx eax, word [SCRATCH]
        note rax
        mov rax, [SCRATCH + 2]
        note rax
        user refused
        finish

all:
        try 1, sgdt [SCRATCH]
        try 2, sidt [SCRATCH]
        try 3, sldt eax
        note rax
        try 4, str eax
        note rax
        try 5, smsw eax
        kernel

refused:
        try 7, sgdt [SCRATCH]
        try 8, sidt [SCRATCH]
        try 9, sldt eax
        try 10, str [SCRATCH]
        try 11, smsw eax
        kernel
