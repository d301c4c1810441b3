// SPDX-License-Identifier: MIT
//
// Products with panels on AMX's tiles. All other kernels are those of the sets below.
#include "kernels/amx_tiles.h"

#define LLMK_KERNEL_SET amx_int8

namespace llmk::djiblas::amx_int8 {

namespace {

using Tiles = amx::ProcessorTiles;

} // namespace

} // namespace llmk::djiblas::amx_int8

#include "kernels/amx_int8/tile_products.h"

namespace llmk::djiblas {

namespace amx_int8 {

namespace {

constinit const PanelKernels kPanels = kPanelProducts<TileLoops>;

} // namespace

} // namespace amx_int8

constinit const KernelSet kAmxInt8 = {
    .name = "amx_int8",
    .title = "AMX+AVX-512",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvx512 | kFeatureAvx512Vnni |
                kFeatureAmxInt8,
    .panels = &amx_int8::kPanels,
};

} // namespace llmk::djiblas
