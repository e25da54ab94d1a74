; Double faults: which pairs of exceptions lead to one, which are served one after the other (SDM vol. 3A table 6-5).
;
; mode: protected32
; steps: 9
; expect:
;   1: #DF(0000)
;   2: #NP(0033)
;   3: #DF(0000)
;   4: = 00000002
;   4: = 001807fc
;   5: = 00000000
;   5: = 001807fc
;   6: #NP(0060)
;   7: #DF(0000)
;   8: #NP(0060)
;   9: #NP(0061)
%include "runtime.inc"

OTHER           equ SPARE + 8

main:
        paging_32bit
        map PAGES, 0
        flush_tlb

; Contributory after contributory: the gate of #GP is not present.
        and byte [idt + 13 * 8 + 5], 0x7f
        xor eax, eax
        mov es, ax
        try 1, mov al, [es:0]
; Contributory after benign: #NP for the gate of #UD, served as such.
        and byte [idt + 6 * 8 + 5], 0x7f
        try 2, ud2
; Contributory while a page fault is delivered.
        and byte [idt + 14 * 8 + 5], 0x7f
        try 3, mov eax, [PAGES]
        or byte [idt + 14 * 8 + 5], 0x80
        or byte [idt + 13 * 8 + 5], 0x80
; A page fault while a contributory exception is delivered is served as a page fault: the stack that #GP is to use is
; absent. The page fault goes through a task gate, which brings its own.
        set_descriptor SPARE, 0, 0xfffff, 0xc01b
        set_descriptor OTHER, task2, 0x67, 0x0089
        set_gate 14, OTHER, 0, 0x8500
        mov edi, task2
        mov dword [edi + 0x1c], PD32
        mov dword [edi + 0x20], in_task
        mov dword [edi + 0x24], 2
        mov dword [edi + 0x38], IST1_STACK
        mov dword [edi + 0x4c], CODE32
        mov dword [edi + 0x50], DATA32
        mov dword [edi + 0x54], USER_DATA32
        mov dword [task + 0x1c], PD32
        mov [kernel_sp], esp
        mov esp, PAGES + 0x800
        begin_step 4, 0, 0
        xor eax, eax
        mov es, ax
        mov al, [es:0]
after_task:
        clts
        mov esp, [kernel_sp]
        set_gate 14, CODE32, number_of(stubs) + 14 * 16, 0x8e00
; A page fault after a page fault is a double fault, here by a task gate too.
        set_gate 8, OTHER, 0, 0x8500
        mov dword [task2 + 0x20], in_task
        mov dword [task2 + 0x38], IST1_STACK
        mov esp, PAGES + 0x800
        begin_step 5, 0, 0
        push eax
after_double:
        clts
        mov esp, [kernel_sp]
        set_gate 8, CODE32, number_of(stubs) + 8 * 16, 0x8e00

; Exceptions in software interrupts: EXT is clear. The gate's code segment is not present.
        set_gate 0x50, SPARE, number_of(main), 0x8e00
        try 6, int 0x50
; In exceptions: EXT is set.
        set_gate 0, SPARE, number_of(main), 0x8e00
        xor ecx, ecx
        try 7, div ecx
        set_gate 3, SPARE, number_of(main), 0x8e00
        try 8, int3                     ; a software interrupt
        set_gate 6, SPARE, number_of(main), 0x8e00
        try 9, ud2
        finish

; Notes error code and CR2, then goes on in the first task after what faulted.
in_task:
        note dword [esp]
        mov eax, cr2
        note eax
        mov dword [task + 0x20], after_task
        cmp dword [step], 5
        jne .leave
        mov dword [task + 0x20], after_double
.leave:
        add esp, 4
        iretd
