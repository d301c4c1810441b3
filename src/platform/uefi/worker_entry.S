// SPDX-License-Identifier: MIT
//
// void llmk_call_on_stack(void (*function)(void*), void* argument, void* top): calls a function of ours on another stack.
// The firmware's stacks for the other processors are 32 KiB.

    .text
    .globl llmk_call_on_stack
    .hidden llmk_call_on_stack
    .type llmk_call_on_stack, @function
llmk_call_on_stack:
    push %rbp
    mov %rsp, %rbp
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsp
    and $-16, %rsp
    call *%rax
    leave
    ret
    .size llmk_call_on_stack, . - llmk_call_on_stack

    .section .note.GNU-stack, "", @progbits
