// SPDX-License-Identifier: MIT
//
// Products with panels by VPDPBUSD on 256 bits: unsigned codes times signed inputs, four products summed into 32 bits.
// Signed codes get 128 added, and the product loses 128 times the input's sum. All other kernels are AVX2's.
#define LLMK_KERNEL_SET avx_vnni

#include "kernels/panel_vectors_256.h"

namespace llmk::djiblas::avx_vnni {

namespace {

struct Isa : Vectors256 {
    static constexpr int kSignedBias = 128;
    static constexpr size_t kTileParts = 1;
    static constexpr size_t kWordParts = 0;
    static constexpr bool kScaledPairs = false;

    static Words signed_codes(Words w) { return w ^ 0x80808080u; }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input q)
    {
        // Two sums hide half of the instruction's latency.
        __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            const __m256i w = reinterpret_cast<__m256i>(codes[kFirst + i]);
            const __m256i x = reinterpret_cast<__m256i>(four(q + 4 * (kFirst + i)));
            sums[i % 2] = _mm256_dpbusd_avx_epi32(sums[i % 2], w, x);
        }
        return reinterpret_cast<Ints>(_mm256_add_epi32(sums[0], sums[1]));
    }
};

} // namespace

} // namespace llmk::djiblas::avx_vnni

#include "kernels/panel_products.h"

namespace llmk::djiblas {

namespace avx_vnni {

namespace {

constinit const PanelKernels kPanels = kPanelProducts<>;
constinit const PanelKernels kPanelsSideBySide = kPanelProducts<SideBySideLoops>;
constinit const PanelKernels kPanelsInPlaces = kPanelProducts<InPlacesLoops>;

} // namespace

} // namespace avx_vnni

constinit const KernelSet kAvxVnni = {
    .name = "avx_vnni",
    .title = "AVX-VNNI",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvxVnni,
    .panels = &avx_vnni::kPanels,
    .panels_side_by_side = &avx_vnni::kPanelsSideBySide,
    .panels_in_places = &avx_vnni::kPanelsInPlaces,
};

} // namespace llmk::djiblas
