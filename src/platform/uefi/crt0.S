// SPDX-License-Identifier: MIT
//
// The program's first instructions: makes SSE usable, applies our own relocations, moves to our own stack, calls
// llmk_efi_main and goes back to the firmware the way it came. UEFI enters in ring 0, long mode, Microsoft calling
// convention: RCX = image handle, RDX = system table (UEFI specification 2.3.4). No C++ runs before the relocations.

#include "platform/uefi/stack.h"

// CR0 and CR4 bits, Intel SDM vol. 3A 2.5 and 13.1.
#define CR0_MP (1 << 1)
#define CR0_EM (1 << 2)
#define CR0_TS (1 << 3)
#define CR4_OSFXSR (1 << 9)
#define CR4_OSXMMEXCPT (1 << 10)

// What the relocator knows, System V ABI for AMD64 4.4. build/efi/llmk.so is checked by scripts/pe_lint.py for others.
#define R_X86_64_RELATIVE 8
#define RELA_OFFSET 0
#define RELA_TYPE 8
#define RELA_ADDEND 16
#define RELA_SIZE 24

#define EFI_LOAD_ERROR 0x8000000000000001

    .text
    .globl _start
    .hidden _start
    .type _start, @function
_start:
    // EDK2 has SSE on already; U-Boot enters with it off, and compiled code uses XMM from its first line. TS off: a
    // lazily switched FPU has no owner here who would answer the fault.
    mov %cr0, %rax
    and $~(CR0_EM | CR0_TS), %rax
    or $CR0_MP, %rax
    mov %rax, %cr0
    mov %cr4, %rax
    or $(CR4_OSFXSR | CR4_OSXMMEXCPT), %rax
    mov %rax, %cr4

    // RBP survives calls in both calling conventions: it keeps the firmware's stack while we are on ours.
    push %rbp
    mov %rsp, %rbp
    sub $16, %rsp
    stmxcsr -8(%rbp)
    ldmxcsr initial_mxcsr(%rip)

    // Adds the load address to every word the linker listed. Only registers that a callee may spoil are used.
    lea llmk_image_base(%rip), %r8
    lea llmk_rela_begin(%rip), %r9
    lea llmk_rela_end(%rip), %r10
1:  cmp %r10, %r9
    jae 2f
    cmpl $R_X86_64_RELATIVE, RELA_TYPE(%r9)
    jne bad_relocation
    mov RELA_OFFSET(%r9), %rax
    mov RELA_ADDEND(%r9), %r11
    add %r8, %r11
    mov %r11, (%r8, %rax)
    add $RELA_SIZE, %r9
    jmp 1b

    // Firmware's stack is 128 KiB without a guard page. 32 bytes are the callee's home space; RCX and RDX still hold
    // what the firmware passed.
2:  lea llmk_stack_top(%rip), %rsp
    sub $32, %rsp
    call llmk_efi_main

leave_image:
    ldmxcsr -8(%rbp)
    leave
    ret

bad_relocation:
    movabs $EFI_LOAD_ERROR, %rax
    jmp leave_image
    .size _start, . - _start

    .section .rodata
    .balign 4
initial_mxcsr:
    .long 0x1f80 // all exceptions masked, round to nearest, denormals kept

    .bss
    .balign 4096
    .globl llmk_stack_bottom, llmk_stack_top
    .hidden llmk_stack_bottom, llmk_stack_top
llmk_stack_bottom:
    .skip LLMK_STACK_BYTES
llmk_stack_top:

// The loader refuses to move an image without base relocations, and may only skip an empty list: one block for page 0
// with two entries of type 0 ("ABSOLUTE", nothing to do). The real work is above.
    .section .reloc, "a"
    .long 0  // page
    .long 12 // bytes in this block
    .word 0
    .word 0

    .section .note.GNU-stack, "", @progbits
