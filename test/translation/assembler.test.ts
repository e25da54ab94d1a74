import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assemble } from './assembler.ts';

const hex = (text: string, bits: 32 | 64 = 64) => Buffer.from(assemble(0x1000, text, bits).bytes).toString('hex');

test('instructions have the encodings that other assemblers give them', () => {
  for (const [text, bytes] of [
    ['mov eax, 0x3000', 'b800300000'],
    ['mov rax, -1', '48c7c0ffffffff'],
    ['mov rax, 0x123456789abcdef0', '48b8f0debc9a78563412'],
    ['add dword [rbx+rcx*4+8], 5', '83448b0805'],
    ['add rax, rbx', '4801d8'],
    ['mov r9b, sil', '4188f1'],
    ['mov ah, [rbp]', '8a6500'],
    ['mov byte [r13+0x100], 7', '41c6850001000007'],
    ['mov eax, [0x3000]', '8b042500300000'],
    ['mov eax, [ebx]', '678b03'],
    ['lock cmpxchg16b [rsp]', 'f0480fc70c24'],
    ['rep movsb', 'f3a4'],
    ['rep stosq', 'f348ab'],
    ['push rbp', '55'],
    ['push 5', '6a05'],
    ['push 0x2f0000', '6800002f00'],
    ['call rax', 'ffd0'],
    ['ret 8', 'c20800'],
    ['addsd xmm1, [rdi]', 'f20f580f'],
    ['cvtsi2sd xmm0, rax', 'f2480f2ac0'],
    ['movq xmm9, rax', '664c0f6ec8'],
    ['mov cr3, rax', '0f22d8'],
    ['iretq', '48cf'],
    ['movzx eax, byte [rcx]', '0fb601'],
    ['shl eax, cl', 'd3e0'],
    ['out 0x80, al', 'e680'],
    ['pushfq', '9c'],
    ['cqo', '4899'],
  ] as const) {
    assert.equal(hex(text), bytes, text);
  }
});

test('labels stand for addresses, and lengths follow from them', () => {
  assert.equal(
    hex('again: dec ecx; jnz again; mov eax, again; jmp end; end: db 1, 2; dd again'),
    'ffc90f85f8ffffffb800100000e900000000010200100000',
  );
  assert.equal(hex('inc eax; push eax; mov ebx, [0x3000]', 32), '40508b1c2500300000');
});

test('what it does not know it says', () => {
  assert.throws(() => assemble(0, 'frob eax'), /cannot assemble: frob eax/);
  assert.throws(() => assemble(0, 'jmp nowhere'), /nowhere is unknown/);
});
