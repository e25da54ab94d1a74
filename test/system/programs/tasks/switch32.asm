; Task switches by JMP, CALL, IRET with NT and a task gate, between 32-bit TSSs: registers, busy bits, NT, back link, TS
; (SDM vol. 3A 7.3, 7.4).
;
; mode: protected32
; steps: 7
; expect:
;   0: = 0000008b
;   0: = 00000089
;   0: = 00000048
;   0: = 00000000
;   0: = 00000000
;   0: = 00000000
;   1: = 0a0a0a0a
;   1: = 0c0c0c0c
;   1: = 0d0d0d0d
;   1: = 0b0b0b0b
;   1: = 05050505
;   1: = 06060606
;   1: = 07070707
;   1: = 00000000
;   1: = 00000000
;   1: = 00001234
;   1: = 00000008
;   1: = 00000000
;   2: = 00000089
;   2: = 0000008b
;   2: = 00000060
;   2: = 00000000
;   2: = 00000000
;   2: = 00000008
;   3: = 0000008b
;   3: = 00000089
;   3: = 00000048
;   3: = 00000000
;   3: = 00000000
;   3: = 00000008
;   3: = 00001234
;   5: = 0000008b
;   5: = 0000008b
;   5: = 00000060
;   5: = 00000048
;   5: = 00004000
;   5: = 00000008
;   6: = 0000008b
;   6: = 00000089
;   6: = 00000048
;   6: = 00000048
;   6: = 00000000
;   6: = 00000008
;   7: = 0000008b
;   7: = 0000008b
;   7: = 00000060
;   7: = 00000048
;   7: = 00004000
;   7: = 00000008
;   7: = 0000008b
;   7: = 00000089
;   7: = 00000048
;   7: = 00000048
;   7: = 00000000
;   7: = 00000008
%include "runtime.inc"

OTHER           equ SPARE
GATE            equ SPARE + 8
TSS_TYPE        equ 5

; Notes the types of both TSS descriptors, task register, back link of the other, NT and TS.
%macro note_state 0
        push eax
        movzx eax, byte [gdt + TASK + TSS_TYPE]
        note eax
        movzx eax, byte [gdt + OTHER + TSS_TYPE]
        note eax
        str eax
        note eax
        movzx eax, word [task2]
        note eax
        pushfd
        pop eax
        and eax, 0x4000
        note eax
        mov eax, cr0
        and eax, 8
        note eax
        clts
        pop eax
%endmacro

main:
        set_descriptor OTHER, task2, 0x67, 0x0089
        set_descriptor GATE, OTHER << 0, 0, 0x0085
        mov dword [gdt + GATE], OTHER << 16
        set_gate 0x40, OTHER, 0, 0xe500
        mov edi, task2
        mov dword [edi + 0x1c], 0       ; CR3, of no matter without paging
        mov dword [edi + 0x20], other
        mov dword [edi + 0x24], 0x0002
        mov dword [edi + 0x28], 0x0a0a0a0a
        mov dword [edi + 0x2c], 0x0c0c0c0c
        mov dword [edi + 0x30], 0x0d0d0d0d
        mov dword [edi + 0x34], 0x0b0b0b0b
        mov dword [edi + 0x38], IST1_STACK
        mov dword [edi + 0x3c], 0x05050505
        mov dword [edi + 0x40], 0x06060606
        mov dword [edi + 0x44], 0x07070707
        mov dword [edi + 0x48], USER_DATA32
        mov dword [edi + 0x4c], CODE32
        mov dword [edi + 0x50], DATA32
        mov dword [edi + 0x54], USER_DATA32
        mov dword [edi + 0x58], 0
        mov dword [edi + 0x5c], USER_DATA32
        mov dword [edi + 0x60], 0
        mov dword [edi + 0x64], 0x680000
        note_state

        mov ebx, 0x1234
        mov dword [step], 1
        jmp OTHER:0
        mov dword [step], 3             ; back by JMP
        note_state
        note ebx
        mov dword [step], 4
        call OTHER:0
        mov dword [step], 6             ; back by IRET
        note_state
        mov dword [step], 7
        int 0x40                        ; the other task goes on after its IRET
        note_state
        finish

; The registers come from the TSS, those of the old task are in its.
other:
        note eax
        note ecx
        note edx
        note ebx
        note ebp
        note esi
        note edi
        mov eax, IST1_STACK
        sub eax, esp
        note eax
        mov eax, fs
        note eax
        note dword [task + 0x34]        ; EBX
        note dword [task + 0x4c]        ; CS
        mov eax, [task + 0x24]          ; EFLAGS
        and eax, 0x4000
        note eax
        mov dword [step], 2
        note_state
        jmp TASK:0
        mov dword [step], 5             ; called
        note_state
        iretd
        note_state                      ; by the task gate, as an interrupt
        iretd
