// SPDX-License-Identifier: MIT
//
// The table of weight types. Sizes of blocks are those of ggml (ggml-common.h): a new one is a row here, a row in
// src/model/ops.cpp and a kernel.
#include "format/model_desc.h"

#include <iterator>

namespace llmk {

namespace {

// In the order of TensorType.
constexpr TensorTypeInfo kTypes[kTensorTypes] = {
    {TensorType::f32, "F32", 0, 1, 4},          {TensorType::q8_group, "Q8_GROUP", kNoGgmlType, 1, 0},
    {TensorType::f16, "F16", 1, 1, 2},          {TensorType::bf16, "BF16", 30, 1, 2},
    {TensorType::q8_0, "Q8_0", 8, 32, 34},      {TensorType::q4_0, "Q4_0", 2, 32, 18},
    {TensorType::q4_1, "Q4_1", 3, 32, 20},      {TensorType::q5_0, "Q5_0", 6, 32, 22},
    {TensorType::q5_1, "Q5_1", 7, 32, 24},      {TensorType::q2_k, "Q2_K", 10, 256, 84},
    {TensorType::q3_k, "Q3_K", 11, 256, 110},   {TensorType::q4_k, "Q4_K", 12, 256, 144},
    {TensorType::q5_k, "Q5_K", 13, 256, 176},   {TensorType::q6_k, "Q6_K", 14, 256, 210},
    {TensorType::iq4_nl, "IQ4_NL", 20, 32, 18}, {TensorType::iq4_xs, "IQ4_XS", 23, 256, 136},
};

/// By ggml's number; removed ones keep theirs.
constexpr std::string_view kGgmlNames[] = {
    "F32",    "F16",      "Q4_0",     "Q4_1",     "Q4_2",  "Q4_3",  "Q5_0",       "Q5_1",       "Q8_0",       "Q8_1",
    "Q2_K",   "Q3_K",     "Q4_K",     "Q5_K",     "Q6_K",  "Q8_K",  "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",    "IQ1_S",
    "IQ4_NL", "IQ3_S",    "IQ2_S",    "IQ4_XS",   "I8",    "I16",   "I32",        "I64",        "F64",        "IQ1_M",
    "BF16",   "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0", "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",
};

} // namespace

const TensorTypeInfo& tensor_type_info(TensorType type) { return kTypes[static_cast<size_t>(type)]; }

const TensorTypeInfo* find_ggml_type(uint32_t number)
{
    for (const TensorTypeInfo& info : kTypes) {
        if (info.ggml_type == number && number != kNoGgmlType) {
            return &info;
        }
    }
    return nullptr;
}

std::string_view ggml_type_name(uint32_t number)
{
    return number < std::size(kGgmlNames) ? kGgmlNames[number] : std::string_view();
}

} // namespace llmk
