; 64-bit gates: the stack is aligned and always switched with its old SS:RSP pushed, IST, null SS at level 0, IRETQ and
; its checks (SDM vol. 3A 6.14).
;
; mode: long64
; steps: 22
; expect:
;   1: = 0000000000000008
;   1: = 0000000000000010
;   1: = 0000000000006ffd
;   1: = 0000000000000010
;   1: = 0000000000006ff0
;   1: = fffffffffffffffd
;   2: = 0000000000000008
;   2: = 0000000000000010
;   2: = 0000000000007000
;   2: = 0000000000000010
;   2: = 0000000000006000
;   3: #GP(0008)
;   4: #NP(021a)
;   5: #GP(022a)
;   6: #GP(0000)
;   7: #GP(0242)
;   8: = 0000000000000008
;   8: = 0000000000000000
;   8: = 00000000000077fb
;   8: = 000000000000003b
;   8: = 0000000000005800
;   9: #GP(0202) cs=0043
;   10: = 0000000000000000
;   10: = 0000000000000000
;   11: #BP +1
;   12: #GP(0000)
;   13: #GP(0000)
;   14: #GP(0000)
;   15: #NP(0080)
;   16: #SS(0088)
;   17: #GP(0010)
;   18: #GP(0000)
;   19: #GP(0000)
;   20: #GP(0000)
;   21: = 0000000000000ad7
;   22: #SS(0000)
; bochs:
;   16: #NP(0088)
%include "runtime.inc"

CODE_ABSENT     equ 0x80
STACK_ABSENT    equ 0x88

%macro iretq_frame 5
        push %4
        push %5
        push %3
        push %1
        push %2
%endmacro

main:
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xa07b
        set_descriptor STACK_ABSENT, 0, 0xfffff, 0xc073
        set_gate 0x40, CODE64, number_of(handler), 0x8e00
        set_gate 0x41, CODE64, number_of(handler), 0x8e01       ; IST 1
        set_gate 0x42, CODE32, number_of(handler), 0x8e00       ; not 64-bit code
        set_gate 0x43, CODE64, number_of(handler), 0x0e00       ; not present
        set_gate 0x44, CODE64, number_of(handler), 0xee02       ; IST 2, for users
        set_gate 0x45, CODE64, number_of(handler), 0x8500       ; there are no task gates
        set_gate 0x46, CODE64, number_of(handler), 0x8e00
        mov dword [idt + 0x46 * 16 + 8], 0x00008000             ; handler at a non-canonical address
        set_gate 0x47, CODE64, number_of(handler), 0x8e00
        mov dword [idt + 0x47 * 16 + 8], 0
        mov word [idt_pointer], 0x48 * 16 - 1
        lidt [idt_pointer]

; Same level: RSP is aligned down to 16 before the frame.
        mov rbp, rsp
        mov rsp, KERNEL_STACK - 3
        begin_step 1, 0, 0
        int 0x40
        mov rbx, rsp
        sub rbx, KERNEL_STACK
        mov rsp, rbp
        note rbx
        begin_step 2, 0, 0
        int 0x41
        try 3, int 0x42
        try 4, int 0x43
        try 5, int 0x45
        try 6, int 0x46
        try 7, int 0x48                 ; past the limit
        user outer

; IRETQ to level 0: SS may be null, and RSP is loaded even without a change of level.
        iretq_frame CODE64, .null_ss, 2, 0, IST1_STACK
        mov dword [step], 10
        iretq
.null_ss:
        mov eax, ss
        note rax
        mov rax, rsp
        sub rax, IST1_STACK
        note rax
        try 11, int3                    ; delivery and return with a null SS
        mov eax, DATA32
        mov ss, eax
        mov rsp, KERNEL_STACK

        iretq_frame USER_CODE64, outer, 2, 0, USER_STACK        ; to level 3 it may not be null
        try 12, iretq
        mov rsp, KERNEL_STACK
        iretq_frame USER_CODE64, outer, 2, 3, USER_STACK
        try 13, iretq
        mov rsp, KERNEL_STACK
        iretq_frame USER_CODE32, outer, 2, 3, USER_STACK
        try 14, iretq
        mov rsp, KERNEL_STACK
        iretq_frame CODE_ABSENT | 3, outer, 2, USER_DATA32, USER_STACK
        try 15, iretq
        mov rsp, KERNEL_STACK
        ; Bochs makes this an absent code segment's fault.
        iretq_frame USER_CODE64, outer, 2, STACK_ABSENT | 3, USER_STACK
        try 16, iretq
        mov rsp, KERNEL_STACK
        iretq_frame USER_CODE64, outer, 2, DATA32, USER_STACK
        try 17, iretq
        mov rsp, KERNEL_STACK
        iretq_frame 0, outer, 2, USER_DATA32, USER_STACK
        try 18, iretq
        mov rsp, KERNEL_STACK
        pushfq
        or dword [rsp], 0x4000          ; NT: there are no nested tasks
        popfq
        iretq_frame CODE64, .end, 2, DATA32, KERNEL_STACK
        try 19, iretq
        mov rsp, KERNEL_STACK
        push 2
        popfq
        mov rax, 0x800000000000
        iretq_frame CODE64, rax, 2, DATA32, KERNEL_STACK
        try 20, iretq
        mov rsp, KERNEL_STACK
        iretq_frame CODE64, .end, 0x28ad7, DATA32, KERNEL_STACK ; VM is not taken, nor are reserved bits
        mov dword [step], 21
        iretq
.end:
        pushfq
        pop rax
        push 2
        popfq
        note rax

; A non-canonical stack pointer: pushing the frame is #SS, whose frame cannot be pushed either; with an IST it can.
        mov word [idt + 12 * 16 + 4], 0x8e01
        mov word [idt + 8 * 16 + 4], 0x8e02
        mov rbp, rsp
        mov rsp, 0x800000000100
        try 22, int3
        mov rsp, rbp
        finish

; Notes RSP modulo 16, what the frame's top is off, CS, SS, saved RSP and SS.
handler:
        mov rbx, rsp
        and ebx, 15
        note rbx
        mov eax, ss
        note rax
        mov rax, [rsp + 24]
        note rax
        mov rax, [rsp + 32]
        note rax
        lea rax, [rsp + 40]
        note rax
        iretq

outer:
        mov rax, rsp
        sub rsp, 5
        begin_step 8, 0, 0
        int 0x44
        try 9, int 0x40                 ; its DPL is 0
        kernel
