// SPDX-License-Identifier: MIT
//
// What shim asks of a binary it may start: its name and generation, to be revoked by (SBAT.md of the shim project).
// The generation goes up by one with each fix of a hole that lets unsigned code run.

extern "C" __attribute__((section(".sbat"))) const char llmk_sbat[] =
    "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
    "llmk,1,LLM Bare-Metal,llmk," LLMK_VERSION ",-\n";
