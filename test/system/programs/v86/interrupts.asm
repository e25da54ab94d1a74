; Interrupts out of virtual-8086 mode: INT n with IOPL 3 needs a gate for level 3 to level 0; what the frame has; returning
; to it changed; a 16-bit gate is no way (SDM vol. 3A 21.3).
;
; mode: protected32
; steps: 7
; expect:
;   1: = 00003202
;   1: = 00000000
;   1: = 00000024
;   1: = 00023202
;   1: = 00000004
;   2: = 00003002
;   2: = 00000000
;   2: = 00000024
;   2: = 00023202
;   2: = 00000004
;   3: #GP(028a) cs=0000 v86
;   4: #GP(0060) cs=0000 v86
;   5: #GP(0068) cs=0000 v86
;   6: = 00003002
;   6: = 00000000
;   6: = 00000024
;   6: = 00023202
;   6: = 00000004
;   7: = 00004321
;   7: = 89abcdef
%include "runtime.inc"

CONFORMING      equ SPARE
CODE1           equ SPARE + 8

main:
        set_descriptor CONFORMING, 0, 0xfffff, 0xc09f
        set_descriptor CODE1, 0, 0xfffff, 0xc0bb
        set_gate 0x50, CODE32, number_of(handler), 0xef00       ; trap gate
        set_gate 0x51, CODE32, number_of(handler), 0x8e00       ; DPL 0
        set_gate 0x52, CONFORMING, number_of(handler), 0xee00
        set_gate 0x53, CODE1, number_of(handler), 0xee00
        set_gate 0x54, CODE32, number_of(handler), 0xee00
        mov [kernel_sp], esp
        mov dword [kernel_return], back
        push dword 4                    ; GS
        push dword 3                    ; FS
        push dword 0                    ; DS
        push dword 1                    ; ES
        push dword 0                    ; SS
        push dword USER_STACK
        push dword 0x23202              ; VM, IOPL 3, IF
        push dword 0
        push dword v86_code
        iretd
back:
        mov eax, USER_DATA32
        mov ds, ax
        mov es, ax
        note dword [SCRATCH]
        note dword [SCRATCH + 4]
        finish

        bits 16
v86_code:
        mov dword [step], 1
        int 0x50
        mov dword [step], 2
        int 0x54
        try 3, int 0x51
        try 4, int 0x52
        try 5, int 0x53
; The handler of step 6 changes ES and CX.
        mov dword [step], 6
        int 0x54
        mov eax, es
        mov [SCRATCH], ax
        mov [SCRATCH + 4], ecx
        try 7, into
        int KERNEL_VECTOR
        bits 32

; Notes its own flags and DS, the bytes of the frame, the saved EFLAGS and GS.
handler:
        pushfd
        mov eax, ds
        push eax
        mov ecx, USER_DATA32
        mov ds, ecx
        mov es, ecx
        pop ebx
        pop eax
        note eax
        note ebx
        mov eax, RING0_STACK
        sub eax, esp
        note eax
        note dword [esp + 8]
        note dword [esp + 32]
        cmp dword [step], 6
        jne .leave
        mov dword [esp + 20], 0x4321
        mov ecx, 0x89abcdef
.leave:
        iretd
