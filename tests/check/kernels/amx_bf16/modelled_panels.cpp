// SPDX-License-Identifier: MIT
//
// The products on tiles of BF16 numbers a second time, on the model's tiles; see
// tests/check/kernels/amx_int8/modelled_panels.cpp.
#include "check/tile_model.h"

#define LLMK_KERNEL_SET modelled_bf16_tiles

namespace llmk::djiblas::modelled_bf16_tiles {

namespace {

using Tiles = check::ModelledTiles;

} // namespace

} // namespace llmk::djiblas::modelled_bf16_tiles

#include "kernels/amx_bf16/tile_products.h"

namespace llmk::check {

constinit const djiblas::Bf16Panels kModelledBf16Panels = djiblas::modelled_bf16_tiles::kProducts;

void multiply_bf16_on_processor(const TileConfig& config, void* sums, const void* rows, const void* words)
{
    using djiblas::amx::kTileRowBytes;
    using Tiles = djiblas::amx::ProcessorTiles;
    Tiles::configure(config);
    Tiles::load<0>(sums, kTileRowBytes);
    Tiles::load<2>(rows, kTileRowBytes);
    Tiles::load<4>(words, kTileRowBytes);
    Tiles::multiply_bf16<0, 2, 4>();
    Tiles::store<0>(sums, kTileRowBytes);
    Tiles::release();
}

} // namespace llmk::check
