// SPDX-License-Identifier: MIT
//
// The architectures, one file each. A new one is a file, a line here and a row in archs.cpp.
#pragma once

#include "model/model.h"

namespace llmk {

extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGpt2;
extern const Architecture kLlama;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen3;

} // namespace llmk
