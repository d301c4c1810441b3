// SPDX-License-Identifier: MIT
//
// Attention with sixteen lanes, as AVX-512 has it, on any processor: kernels/attention_blocks.h over vectors that the
// compiler makes of what there is.
#pragma once

#include "kernels/djiblas.h"

namespace llmk::check {

/// Attention alone.
extern constinit const djiblas::KernelSet kModelledLanes;

} // namespace llmk::check
