; Virtual-8086 mode: entering by IRET, what is allowed with IOPL 3 and 0, interrupts to level 0 and back, 64 KiB segments
; (SDM vol. 3A 21.2).
;
; mode: protected32
; steps: 18
; expect:
;   1: #UD cs=0000 v86
;   1: = 00001000
;   1: = 00001001
;   1: = 00000000
;   1: = 00001003
;   1: = 00001004
;   1: = 00000000
;   1: = 00000000
;   1: = 00000000
;   1: = 00033002
;   6: #GP(0000) cs=0000 v86
;   7: #SS(0000) cs=0000 v86
;   8: #GP(0000) cs=0000 v86
;   9: #GP(0000) cs=0000 v86
;   10: #UD cs=0000 v86
;   11: #BP +1 cs=0000 v86
;   13: #GP(0000) cs=0000 v86
;   14: #GP(0000) cs=0000 v86
;   15: #GP(0000) cs=0000 v86
;   16: #GP(0000) cs=0000 v86
;   17: #GP(0000) cs=0000 v86
;   18: #BP +1 cs=0000 v86
%include "runtime.inc"

; v86 label, flags: enters with all segments at IMAGE >> 4 but SS, which is FREE >> 4; ends by INT 30h.
%macro v86 2
        mov [kernel_sp], esp
        mov dword [kernel_return], %%back
        push dword 0x1004               ; GS
        push dword 0x1003               ; FS
        push dword 0                    ; DS
        push dword 0x1001               ; ES
        push dword FREE >> 4            ; SS
        push dword 0x0800
        push dword 0x20002 | (%2)
        push dword 0
        push dword %1
        iretd
%%back:
        mov eax, USER_DATA32
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
%endmacro

main:
        mov dword [hook], look
        v86 iopl3, 0x3000
        mov dword [hook], 0
        v86 iopl0, 0
        finish

; Notes the segment registers above the frame and those that the handler runs with.
look:
        cmp dword [step], 1
        jne .done
        note dword [esi + 24]           ; SS
        note dword [esi + 28]           ; ES
        note dword [esi + 32]           ; DS
        note dword [esi + 36]           ; FS
        note dword [esi + 40]           ; GS
        mov eax, fs
        note eax
        mov eax, gs
        note eax
        mov eax, [esp + 8]              ; DS as the recorder found it
        note eax
        note dword [esi + 16]
.done:
        ret

        bits 16
iopl3:
        try 1, ud2
        try 2, cli
        try 3, sti
        try 4, cli
        mov dword [step], 5
        push dword 0x0246               ; IOPL and VM stay
        popfd
        pushfd
        cli
        pop eax
        mov [SCRATCH], eax
        push ds
        pop ds
        mov bx, 0x1234                  ; any selector loads; its base is 16 times that
        mov es, bx
        mov byte [es:0x10], 0x42
        mov al, [0x2000]
        mov bx, 0xffff
        try 6, mov ax, [es:bx]
        try 7, mov ax, [ss:bx]
        try 8, mov eax, cr0
        try 9, lgdt [0]
        try 10, sldt ax
        try 11, int3
        mov dword [step], 12
        mov sp, 0x800
        push word 0
        push word .far
        retf
.far:
        int 0x30

iopl0:
        try 13, cli
        try 14, pushf
        try 15, popf
        try 16, int 0x30                ; INT n is sensitive to IOPL
        try 17, iret
; INT3 and INTO are not. The recorder's gate leads to level 0, whose hook ends this.
        mov dword [hook], leave_v86
        begin_step 18, .int3, 0
.int3:  int3
        bits 32

leave_v86:
        mov esp, [ss:kernel_sp]
        mov dword [hook], 0
        jmp [kernel_return]
