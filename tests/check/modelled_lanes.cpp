// SPDX-License-Identifier: MIT
#include "modelled_lanes.h"

#include <cstring>

#define LLMK_KERNEL_SET modelled_lanes

// Vectors wider than the processor's do not leave this file.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace llmk::djiblas::modelled_lanes {

namespace {

constexpr size_t kLanes = 16;
using Vector [[gnu::vector_size(kLanes * sizeof(float))]] = float;
using Quarter [[gnu::vector_size(4 * sizeof(float))]] = float;

float sum_lanes(Vector v)
{
    float sum = 0.0f;
    for (size_t i = 0; i < kLanes; i++) {
        sum += v[i];
    }
    return sum;
}

Quarter sum_lanes(Vector a, Vector b, Vector c, Vector d)
{
    return Quarter{sum_lanes(a), sum_lanes(b), sum_lanes(c), sum_lanes(d)};
}

void softcap(float* x, size_t n, float cap) { kScalar.softcap(x, n, cap); }

/// Lane i has x[i], the others 0.
Vector some(const float* x, size_t n)
{
    Vector v = {};
    std::memcpy(&v, x, n * sizeof(float));
    return v;
}

template <class Row> struct Always {
    using Careful = Row;
    static bool plain(const uint8_t* /*rows*/, size_t /*bytes*/) { return true; }
    static Vector load(const uint8_t* row, size_t i) { return Row::tail(row, i, kLanes); }
};

struct RowF32 : Always<RowF32> {
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static Vector tail(const uint8_t* row, size_t i, size_t n)
    {
        return some(reinterpret_cast<const float*>(row + i * sizeof(float)), n);
    }
};

struct RowF16 : Always<RowF16> {
    static size_t bytes(size_t head_dim) { return head_dim * kBlockF16.bytes; }
    static Vector tail(const uint8_t* row, size_t i, size_t n)
    {
        float values[kLanes];
        kScalar.dequantize_f16(values, row + i * kBlockF16.bytes, n);
        return some(values, n);
    }
};

struct RowQ80 : Always<RowQ80> {
    static size_t bytes(size_t head_dim) { return head_dim / kBlockQ80.values * kBlockQ80.bytes; }
    static Vector tail(const uint8_t* row, size_t i, size_t n)
    {
        float values[kBlockQ80.values];
        kScalar.dequantize_q8_0(values, row + i / kBlockQ80.values * kBlockQ80.bytes, kBlockQ80.values);
        return some(values + i % kBlockQ80.values, n);
    }
};

struct Isa {
    using Floats = Vector;
    using Ints [[gnu::vector_size(sizeof(Vector))]] = int32_t;
    static constexpr size_t kKeys = 4;
    static constexpr size_t kStraight = 64;
    static constexpr size_t kSums = 16;
    static constexpr size_t kSummed = 4;
    using F32 = RowF32;
    using F16 = RowF16;
    using Q80 = RowQ80;

    static Floats splat(float x) { return Floats{} + x; }
    static Floats load(const float* p) { return some(p, kLanes); }
    static Floats load_once(const float* p) { return load(p); }
    static void store(float* p, Floats v) { store_tail(p, v, kLanes); }
    static Floats load_tail(const float* p, size_t n) { return some(p, n); }
    static void store_tail(float* p, Floats v, size_t n) { std::memcpy(p, &v, n * sizeof(float)); }
    static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats max(Floats a, Floats b) { return a > b ? a : b; }
};

} // namespace

} // namespace llmk::djiblas::modelled_lanes

#include "kernels/attention_blocks.h"

namespace llmk::check {

using namespace djiblas::modelled_lanes;

constinit const djiblas::KernelSet kModelledLanes = {
    .name = "modelled_lanes",
    .title = "",
    .features = 0,
    .attention_f32 = attention<Isa::F32>,
    .attention_f16 = attention<Isa::F16>,
    .attention_q8_0 = attention<Isa::Q80>,
};

} // namespace llmk::check
