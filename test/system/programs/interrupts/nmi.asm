; Non-maskable interrupts: taken with IF clear, held back until IRET, one remembered; IRET of any kind ends the blocking
; (SDM vol. 3A 6.7.1). The local APIC sends them to its own processor.
;
; mode: long64
; steps: 3
; expect:
;   1: NMI
;   2: NMI
;   2: = 0000000000000001
;   2: NMI
;   2: = 0000000000000002
;   3: NMI
;   3: #BP +1
;   3: NMI
;   3: = 000000000000000c
;   3: = 000000000000000c
%include "runtime.inc"

; Physical destination, this processor by its own number, delivery mode NMI.
%macro send_nmi 0
        mov ecx, 0x830
        mov eax, 0x400
        xor edx, edx
        wrmsr
%endmacro

main:
        mov ecx, 0x1b
        rdmsr
        or eax, 0xc00
        wrmsr
        mov ecx, 0x80f
        mov eax, 0x13f
        xor edx, edx
        wrmsr
        mov qword [SCRATCH], 0

        mov dword [step], 1
        send_nmi
        times 15 nop
; From inside the handler: after its IRET. Two of them are one.
        mov dword [hook], nested
        mov dword [step], 2
        send_nmi
        times 15 nop
        mov dword [hook], 0
        note qword [SCRATCH]

; An exception's IRET inside the handler ends the blocking early.
        mov dword [hook], with_exception
        mov dword [step], 3
        send_nmi
        times 15 nop
        mov dword [hook], 0
        note qword [SCRATCH]
        finish

nested:
        inc qword [SCRATCH]
        cmp qword [SCRATCH], 1
        jne .done
        send_nmi
        send_nmi
        times 15 nop
        note qword [SCRATCH]
.done:
        ret

with_exception:
        cmp qword [SCRATCH], 10
        jae .done
        mov qword [SCRATCH], 10
        send_nmi
        times 15 nop
        mov dword [hook], count
        mov dword [tried], .int3
.int3:  int3
        times 15 nop
        note qword [SCRATCH]
.done:
        ret

count:
        inc qword [SCRATCH]
        ret
