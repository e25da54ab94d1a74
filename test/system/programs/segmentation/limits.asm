; Segment limits in protected mode: byte and page granularity, expand-down segments with 16- and 32-bit upper bounds,
; types that forbid reads or writes (SDM vol. 3A 5.3, 5.4).
;
; mode: protected32
; steps: 29
; expect:
;   2: #GP(0000)
;   3: #GP(0000)
;   5: #GP(0000)
;   6: #GP(0000)
;   8: #GP(0000)
;   9: #GP(0000)
;   11: #GP(0000)
;   12: #GP(0000)
;   13: #GP(0000)
;   15: #GP(0000)
;   16: #GP(0000)
;   17: #GP(0000)
;   19: #GP(0000)
;   21: #GP(0000)
;   22: #GP(0000)
;   23: #GP(0000) cs=0080
;   25: #SS(0000)
;   26: #SS(0000)
;   28: = 1234fffc
;   28: = 89abcdef
;   29: #GP(0000)
;   29: = 00000002
;   29: = 00001000
%include "runtime.inc"

BYTES           equ SPARE               ; limit 0fffh, bytes
PAGES4K         equ SPARE + 0x08        ; limit 0, granular: 0fffh
DOWN32          equ SPARE + 0x10        ; expand-down, limit 0fffh, B = 1
DOWN16          equ SPARE + 0x18        ; expand-down, limit 0fffh, B = 0
EXECUTE_ONLY    equ SPARE + 0x20
READ_ONLY       equ SPARE + 0x28
CODE_READ       equ SPARE + 0x30
EMPTY_DOWN      equ SPARE + 0x38        ; expand-down with limit 0ffffffffh: nothing is inside
STACK16         equ SPARE + 0x40        ; base FREE, 64 KiB, B = 0
STACK_SMALL     equ SPARE + 0x48        ; base FREE, limit 0ffh, B = 1

main:
        set_descriptor BYTES, FREE, 0xfff, 0x4093
        set_descriptor PAGES4K, FREE, 0, 0xc093
        set_descriptor DOWN32, 0, 0xfff, 0x4097
        set_descriptor DOWN16, FREE, 0xfff, 0x0097
        set_descriptor EXECUTE_ONLY, 0, 0xfffff, 0xc099
        set_descriptor READ_ONLY, 0, 0xfffff, 0xc091
        set_descriptor CODE_READ, 0, 0xfffff, 0xc09b
        set_descriptor EMPTY_DOWN, 0, 0xfffff, 0xc097
        set_descriptor STACK16, FREE, 0xffff, 0x0093
        set_descriptor STACK_SMALL, FREE, 0xff, 0x4093

        mov eax, BYTES
        mov es, ax
        try 1, mov al, [es:0xfff]
        try 2, mov al, [es:0x1000]
        try 3, mov ax, [es:0xfff]
        try 4, mov eax, [es:0xffc]
        try 5, mov eax, [es:0xffd]
        try 6, mov eax, [es:0xffffffff]         ; no wrap to 0
        mov eax, PAGES4K
        mov es, ax
        try 7, mov eax, [es:0xffc]
        try 8, mov eax, [es:0xffd]

        mov eax, DOWN32
        mov fs, ax
        try 9, mov al, [fs:0xfff]
        try 10, mov al, [fs:0x1000]
        try 11, mov eax, [fs:0xffe]
        try 12, mov eax, [fs:0xfffffffd]
        mov eax, DOWN16
        mov fs, ax
        try 13, mov al, [fs:0xfff]
        try 14, mov al, [fs:0xffff]
        try 15, mov ax, [fs:0xffff]
        try 16, mov al, [fs:0x10000]
        mov eax, EMPTY_DOWN
        mov fs, ax
        try 17, mov al, [fs:0x1000]

        mov eax, READ_ONLY
        mov gs, ax
        try 18, mov eax, [gs:0x1000]
        try 19, mov [gs:0x1000], eax
        mov eax, CODE_READ
        mov gs, ax
        try 20, mov eax, [gs:0x1000]
        try 21, mov [gs:0x1000], eax
        try 22, mov [cs:0x1000], eax
        jmp EXECUTE_ONLY:.execute_only
.execute_only:
        try 23, mov eax, [cs:0x1000]
        jmp CODE32:.readable
.readable:

; The stack segment: #SS, and its B bit decides between SP and ESP.
        mov eax, STACK_SMALL
        mov ss, ax
        mov esp, 0x100
        mov ecx, 0x10
        try 24, push eax
        mov ebp, 0xfd
        try 25, mov eax, [ebp]
        try 26, mov [esp + ecx], al     ; ESP as a base means SS too
        try 27, mov eax, [ds:ebp]
        mov eax, STACK16
        mov ss, ax
        mov esp, 0x12340000
        try 28, push dword 0x89abcdef
        mov ebx, esp
        mov eax, DATA32
        mov ss, ax
        mov esp, KERNEL_STACK
        note ebx                        ; the upper half stays
        note dword [FREE + 0xfffc]

; A string instruction stops at the limit with its registers at the element that faulted.
        mov eax, BYTES
        mov es, ax
        mov edi, 0xff8
        mov ecx, 4
        xor eax, eax
        try 29, rep stosd
        note ecx
        note edi
        finish
