// SPDX-License-Identifier: MIT
//
// Functions for what is not simulated: each knows its table and its place in it.
#include "machine.h"

#include <array>
#include <cstring>
#include <utility>

namespace llmk::efisim {
namespace {

constexpr size_t kMost = 160;

struct Refusal {
    const char* table;
    size_t number;
};

std::array<Refusal, kMost> g_refusals;
size_t g_count = 0;

template <size_t kIndex> EFI_STATUS EFIAPI refuse()
{
    const Refusal& what = g_refusals[kIndex];
    stop(kExitFault, "the program called function %zu of %s (counted from 1), which is not simulated: tests/efisim",
         what.number, what.table);
}

using Function = EFI_STATUS(EFIAPI*)();

template <size_t... kIndices> constexpr std::array<Function, kMost> make_functions(std::index_sequence<kIndices...>)
{
    return {refuse<kIndices>...};
}

constexpr std::array<Function, kMost> kFunctions = make_functions(std::make_index_sequence<kMost>());

} // namespace

void fill_with_refusals(void* first, size_t bytes, const char* table)
{
    for (size_t i = 0; i < bytes / sizeof(Function); ++i) {
        if (g_count == kMost) {
            stop(kExitFault, "more than %zu functions are not simulated: kMost in refusals.cpp", kMost);
        }
        g_refusals[g_count] = {table, i + 1};
        memcpy(static_cast<char*>(first) + i * sizeof(Function), &kFunctions[g_count], sizeof(Function));
        ++g_count;
    }
}

} // namespace llmk::efisim
