// SPDX-License-Identifier: MIT
//
// Products with panels on AMX's tiles of BF16 numbers, for prompts. All other kernels are those of the sets below.
#include "kernels/amx_tiles.h"

#define LLMK_KERNEL_SET amx_bf16

namespace llmk::djiblas::amx_bf16 {

namespace {

using Tiles = amx::ProcessorTiles;

} // namespace

} // namespace llmk::djiblas::amx_bf16

#include "kernels/amx_bf16/tile_products.h"

namespace llmk::djiblas {

namespace amx_bf16 {

namespace {

constinit const Bf16Panels kPanels = kProducts;

} // namespace

} // namespace amx_bf16

constinit const KernelSet kAmxBf16 = {
    .name = "amx_bf16",
    .title = "AMX-BF16+AVX-512",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvx512 | kFeatureAvx512Vnni |
                kFeatureAmxInt8 | kFeatureAmxBf16,
    .bf16_panels = &amx_bf16::kPanels,
};

} // namespace llmk::djiblas
