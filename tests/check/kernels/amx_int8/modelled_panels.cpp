// SPDX-License-Identifier: MIT
//
// The products on tiles a second time, on the model's tiles. In a folder of this name, for the Makefile compiles it as
// it does amx_int8; so no code of a library is here, of which the linker might give others this copy.
#include "check/tile_model.h"

#define LLMK_KERNEL_SET modelled_tiles

namespace llmk::djiblas::modelled_tiles {

namespace {

using Tiles = check::ModelledTiles;

} // namespace

} // namespace llmk::djiblas::modelled_tiles

#include "kernels/amx_int8/tile_products.h"

namespace llmk::check {

namespace {

constinit const djiblas::PanelKernels kPanels =
    djiblas::modelled_tiles::kPanelProducts<djiblas::modelled_tiles::TileLoops>;

} // namespace

constinit const djiblas::KernelSet kModelledTiles = {
    .name = "modelled_tiles",
    .title = "",
    .features = 0,
    .panels = &kPanels,
};

void multiply_on_processor(const TileConfig& config, void* sums, const void* signed_bytes, const void* unsigned_bytes)
{
    using djiblas::amx::kTileRowBytes;
    using Tiles = djiblas::amx::ProcessorTiles;
    Tiles::configure(config);
    Tiles::load<0>(sums, kTileRowBytes);
    Tiles::load<2>(signed_bytes, kTileRowBytes);
    Tiles::load<4>(unsigned_bytes, kTileRowBytes);
    Tiles::multiply<0, 2, 4>();
    Tiles::store<0>(sums, kTileRowBytes);
    Tiles::release();
}

} // namespace llmk::check
