// SPDX-License-Identifier: MIT
//
// The Llama architecture (Touvron et al. 2023, arXiv:2302.13971): RMSNorm before each half of a block, RoPE on
// interleaved pairs (Su et al. 2021, arXiv:2104.09864), grouped-query attention (Ainslie et al. 2023,
// arXiv:2305.13245), SwiGLU (Shazeer 2020, arXiv:2002.05202), tied or separate head.
#pragma once

#include "model/model.h"

namespace llmk {

extern const Architecture kLlama;

/// Architecture::check of it; in llama_check.cpp.
Result<void> check_llama(const ModelDesc& desc);

} // namespace llmk
