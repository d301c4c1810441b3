// SPDX-License-Identifier: MIT
//
// Products with panels by VPDPBUSD on 512 bits: unsigned codes times signed inputs, four products summed into 32 bits.
// Signed codes get 128 added, and the product loses 128 times the input's sum. All other kernels are AVX-512's.
#include "kernels/panel_vectors_512.h"

#define LLMK_KERNEL_SET avx512_vnni

namespace llmk::djiblas::avx512_vnni {

namespace {

struct Isa : UnsignedCodes512 {
    static constexpr size_t kTokens = 8;

    static Ints accumulate(Ints sum, Words codes, Words input)
    {
        return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(
            reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(codes), reinterpret_cast<__m512i>(input)));
    }

    template <size_t kQuads> static Ints dot(const Words* codes, const int8_t* q, Ints first)
    {
        // Two sums hide half of the instruction's latency.
        Ints sums[2] = {first, {}};
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            sums[i % 2] = accumulate(sums[i % 2], codes[i], broadcast(q + 4 * i));
        }
        return sums[0] + sums[1];
    }
};

} // namespace

} // namespace llmk::djiblas::avx512_vnni

#include "kernels/panel_batches.h"

namespace llmk::djiblas {

namespace avx512_vnni {

namespace {

constinit const PanelKernels kPanels = kPanelProducts<BatchLoops>;
constinit const PanelKernels kPanelsSideBySide = kPanelProducts<SideBySideLoops>;
constinit const PanelKernels kPanelsInPlaces = kPanelProducts<InPlacesLoops>;

} // namespace

} // namespace avx512_vnni

constinit const KernelSet kAvx512Vnni = {
    .name = "avx512_vnni",
    .title = "AVX-512+VNNI",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvx512 | kFeatureAvx512Vnni,
    .panels = &avx512_vnni::kPanels,
    .panels_side_by_side = &avx512_vnni::kPanelsSideBySide,
    .panels_in_places = &avx512_vnni::kPanelsInPlaces,
};

} // namespace llmk::djiblas
