; Firmware that does nothing but start a test program: what the oracles boot from. Assemble with -d PROGRAM="file".
;
; 64 KiB, mapped below 4 GiB and at 0f0000h. The program's image is copied to where a multiboot loader would put it and
; entered as that would: 32-bit flat segments, no paging.

%include "layout.inc"

ROM     equ 0xf0000

        org 0
        bits 16

program:
        incbin PROGRAM
.end:

%if .end - program > IMAGE_SIZE
  %error "the program is too large"
%endif

start:
        cli
        lgdt [cs:gdt_pointer]
        mov eax, 0x11
        mov cr0, eax
        jmp dword 0x08:ROM + .protected
        bits 32
.protected:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, KERNEL_STACK
        cld
        mov esi, ROM + program
        mov edi, LOAD
        mov ecx, IMAGE_SIZE / 4
        rep movsd
        mov eax, [LOAD + 28]            ; entry_addr of the multiboot header
        jmp eax

        align 8
rom_gdt:
        dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
gdt_pointer:
        dw 23
        dd ROM + rom_gdt

        times 0xfff0 - ($ - $$) db 0
        bits 16
        jmp 0xf000:start
        times 0x10000 - ($ - $$) db 0
