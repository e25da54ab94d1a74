; Loads of segment registers with selectors that must not be loaded, each with its exception and error code
; (SDM vol. 3A 5.5 to 5.7, vol. 2 MOV).
;
; mode: protected32
; steps: 30
; expect:
;   2: #GP(0000)
;   4: #NP(0060)
;   5: #GP(0068)
;   7: #GP(0010)
;   9: #GP(0098)
;   10: #GP(00b0)
;   11: #GP(0400)
;   12: #GP(0014)
;   13: #GP(0060)
;   15: #GP(0088)
;   16: #GP(0000)
;   17: #GP(0070)
;   18: #GP(0078)
;   19: #GP(0010)
;   20: #GP(0080)
;   21: #GP(0080)
;   22: #SS(00a0)
;   23: #GP(0400)
;   24: #NP(0060)
;   24: = fffffffc
;   25: #SS(00a0)
;   25: = 00000000
;   26: = 12345678
;   27: #GP(0000)
;   28: #GP(0010)
;   29: #NP(00a8)
;   30: #GP(0030)
%include "runtime.inc"

NOT_PRESENT     equ SPARE               ; data, DPL 0
EXECUTE_ONLY    equ SPARE + 0x08
READ_ONLY       equ SPARE + 0x10
CODE_READ       equ SPARE + 0x18        ; DPL 0
DATA3           equ SPARE + 0x20        ; DPL 3
DATA2           equ SPARE + 0x28        ; DPL 2
CONFORMING      equ SPARE + 0x30        ; readable, conforming, DPL 0
SYSTEM          equ SPARE + 0x38        ; an LDT
STACK_ABSENT    equ SPARE + 0x40        ; not present, DPL 0, writable
CODE_ABSENT     equ SPARE + 0x48
EMPTY           equ SPARE + 0x50        ; type 0

main:
        set_descriptor NOT_PRESENT, 0, 0xfffff, 0xc013
        set_descriptor EXECUTE_ONLY, 0, 0xfffff, 0xc099
        set_descriptor READ_ONLY, 0, 0xfffff, 0xc091
        set_descriptor CODE_READ, 0, 0xfffff, 0xc09b
        set_descriptor DATA3, 0, 0xfffff, 0xc0f3
        set_descriptor DATA2, 0, 0xfffff, 0xc0d3
        set_descriptor CONFORMING, 0, 0xfffff, 0xc09f
        set_descriptor SYSTEM, ldt, 0xff, 0x0082
        set_descriptor STACK_ABSENT, 0, 0xfffff, 0xc013
        set_descriptor CODE_ABSENT, 0, 0xfffff, 0xc01b

; DS, ES, FS, GS: a null selector loads, and faults when used.
        xor eax, eax
        try 1, mov es, ax
        try 2, mov al, [es:0x1000]
        mov eax, 3
        try 3, mov fs, ax
        mov eax, NOT_PRESENT
        try 4, mov es, ax
        mov eax, EXECUTE_ONLY
        try 5, mov es, ax
        mov eax, CODE_READ
        try 6, mov es, ax
        mov eax, DATA32 | 3             ; RPL above DPL
        try 7, mov es, ax
        mov eax, CONFORMING | 3         ; of no matter to conforming code
        try 8, mov es, ax
        mov eax, SYSTEM
        try 9, mov es, ax
        mov eax, EMPTY
        try 10, mov es, ax
        mov eax, GDT_LIMIT + 1          ; outside the table
        try 11, mov es, ax
        mov eax, DATA32 | 4             ; there is no LDT
        try 12, mov es, ax
        mov eax, NOT_PRESENT | 3        ; the privilege check comes before the present bit
        try 13, mov es, ax
        mov eax, DATA2 | 2
        try 14, mov es, ax
        mov eax, DATA2 | 3
        try 15, mov es, ax

; SS: writable data with DPL = RPL = CPL.
        xor eax, eax
        try 16, mov ss, ax
        mov eax, READ_ONLY
        try 17, mov ss, ax
        mov eax, CODE_READ
        try 18, mov ss, ax
        mov eax, DATA32 | 1
        try 19, mov ss, ax
        mov eax, DATA3 | 3
        try 20, mov ss, ax
        mov eax, DATA3
        try 21, mov ss, ax
        mov eax, STACK_ABSENT
        try 22, mov ss, ax
        mov eax, GDT_LIMIT + 1
        try 23, mov ss, ax

; The other instructions that load them.
        push dword NOT_PRESENT
        try 24, pop gs
        mov eax, esp
        sub eax, KERNEL_STACK
        note eax                        ; the fault took nothing off the stack
        add esp, 4
        mov dword [SCRATCH], 0x12345678
        mov word [SCRATCH + 4], STACK_ABSENT
        xor ebx, ebx
        try 25, lss ebx, [SCRATCH]
        note ebx
        mov word [SCRATCH + 4], 0
        try 26, lgs ebx, [SCRATCH]
        note ebx

; CS by far jumps.
        try 27, jmp 0:main
        try 28, jmp DATA32:main
        try 29, jmp CODE_ABSENT:main
        try 30, jmp USER_CODE32:main
        finish
