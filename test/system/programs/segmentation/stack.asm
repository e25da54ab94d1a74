; Stack instructions at the end of a stack segment: #SS(0) with registers as they were, at level 3 so that the exceptions
; have a stack of their own (SDM vol. 1 6.2, vol. 2).
;
; mode: protected32
; steps: 17
; expect:
;   1: #SS(0000) cs=0033
;   1: = 00000002
;   2: #SS(0000) cs=0033
;   2: = 00000101
;   3: #SS(0000) cs=0033
;   3: = 0000001f
;   4: #SS(0000) cs=0033
;   4: = 00000003
;   5: #SS(0000) cs=0033
;   5: = 00000007
;   6: #SS(0000) cs=0033
;   6: = 000000fd
;   7: #SS(0000) cs=0033
;   7: = 000000fa
;   8: #SS(0000) cs=0033
;   8: = 00000008
;   8: = 00000050
;   9: #SS(0000) cs=0033
;   9: = 00000080
;   9: = 00000100
;   10: = 000000fc
;   11: #SS(0000) cs=0033
;   11: = 00000002
;   12: #SS(0000) cs=0033
;   12: = 000000fe
;   13: #SS(0000) cs=0033
;   13: = 00000100
;   14: = 00001000
;   15: #SS(0000) cs=0033
;   15: = 00001003
;   16: = abcdfffc
;   17: #SS(0000) cs=0033
;   17: = 00000002
%include "runtime.inc"

SMALL           equ SPARE | 3           ; base FREE, limit 0ffh, B = 1
DOWN            equ SPARE + 8 | 3       ; expand-down: FREE + 1000h and up
NARROW          equ SPARE + 0x10 | 3    ; base FREE, 64 KiB, B = 0

; with_stack esp: SS is in EAX.
%macro with_stack 1
        mov ss, ax
        mov esp, %1
%endmacro

; show: ESP as a note, from a stack where there is room.
%macro show 0
        mov ebx, esp
        mov ecx, USER_DATA32
        mov ss, cx
        mov esp, USER_STACK
        note ebx
%endmacro

main:
        set_descriptor SMALL, FREE, 0xff, 0x40f3
        set_descriptor DOWN, FREE, 0xfff, 0x40f7
        set_descriptor NARROW, FREE, 0xffff, 0x00f3
        user outer
        finish

outer:
        mov eax, SMALL
        with_stack 2
        try 1, push eax
        show
        with_stack 0x101
        try 2, pop ecx
        show
        with_stack 0x1f
        try 3, pushad                   ; room for seven
        show
        with_stack 3
        try 4, call outer
        show
        with_stack 7
        try 5, call USER_CODE32:outer
        show
        with_stack 0xfd
        try 6, ret
        show
        with_stack 0xfa
        try 7, retf                     ; the second half is past the end
        show
        with_stack 8
        mov ebp, 0x50
        try 8, enter 8, 0
        mov [SCRATCH], ebp
        show
        note dword [SCRATCH]
        mov eax, SMALL
        with_stack 0x80
        mov ebp, 0x100
        try 9, leave
        mov [SCRATCH], ebp
        show
        note dword [SCRATCH]
        mov eax, SMALL
        with_stack 0x100
        try 10, push dword [0x1000]     ; fits
        show
        mov eax, SMALL
        with_stack 2
        try 11, pushfd
        show
        mov eax, SMALL
        with_stack 0xfe
        try 12, popfd
        show
        mov eax, SMALL
        with_stack 0x100
        try 13, pop dword [0x4800]      ; the pop comes first
        show

; Expand-down: below the limit is outside.
        mov eax, DOWN
        with_stack 0x1004
        try 14, push eax
        show
        mov eax, DOWN
        with_stack 0x1003
        try 15, push eax
        show

; B = 0: SP wraps, if nothing is past the end.
        mov eax, NARROW
        with_stack 0xabcd0000
        try 16, push eax
        show
        mov eax, NARROW
        with_stack 0xabcd0002
        try 17, push eax
        show
        kernel
