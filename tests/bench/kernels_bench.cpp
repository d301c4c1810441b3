// SPDX-License-Identifier: MIT
//
// Speed of the float kernels, F16 and BF16 included, and the int8 product, for every set that this machine can run.
// Figures to read, never to assert. `build/tests/bench --benchmark_filter=gemm` runs a part.
#include "cpu/kernels.h"
#include "model/model.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

using llmk::djiblas::KernelSet;

std::vector<float> values(size_t count)
{
    std::vector<float> result(count);
    uint32_t state = 1;
    for (float& value : result) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
    }
    return result;
}

void set_rate(benchmark::State& state, const char* name, double per_iteration)
{
    state.counters[name] =
        benchmark::Counter(per_iteration * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

size_t argument(const benchmark::State& state, size_t index) { return static_cast<size_t>(state.range(index)); }

void gemm_f32(benchmark::State& state, const KernelSet& set)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const size_t batch = argument(state, 2);
    const std::vector<float> w = values(rows * cols);
    const std::vector<float> x = values(batch * cols);
    std::vector<float> y(batch * rows);
    for (auto _ : state) {
        set.gemm_f32(y.data(), rows, w.data(), x.data(), cols, rows, cols, batch);
        benchmark::ClobberMemory();
    }
    set_rate(state, "FLOP/s", 2.0 * static_cast<double>(rows * cols * batch));
}

void gemm_turned(benchmark::State& state, const KernelSet& set)
{
    using llmk::djiblas::TurnedInput;
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const size_t batch = argument(state, 2);
    const std::vector<float> w = values(rows * cols);
    const std::vector<float> x = values(batch * cols);
    std::vector<float> panels(TurnedInput::floats(batch, cols));
    std::vector<float> y(batch * rows);
    for (size_t b = 0; b < batch; b += TurnedInput::kRows) {
        set.turned->turn(panels.data(), x.data(), cols, b, batch, cols);
    }
    for (auto _ : state) {
        set.turned->f32(y.data(), rows, reinterpret_cast<const uint8_t*>(w.data()), rows, {panels.data(), batch, cols});
        benchmark::ClobberMemory();
    }
    set_rate(state, "FLOP/s", 2.0 * static_cast<double>(rows * cols * batch));
}

void gemv_f32(benchmark::State& state, decltype(KernelSet::gemv_f32) kernel)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const std::vector<float> w = values(rows * cols);
    const std::vector<float> x = values(cols);
    std::vector<float> y(rows);
    for (auto _ : state) {
        kernel(y.data(), w.data(), x.data(), rows, cols);
        benchmark::ClobberMemory();
    }
    set_rate(state, "B/s", static_cast<double>(rows * cols * sizeof(float)));
}

using GemvHalf = decltype(KernelSet::gemv_f16);

/// F16 or BF16 weights: the bytes of small normal numbers in both.
void gemv_half(benchmark::State& state, GemvHalf kernel)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const std::vector<uint8_t> w(rows * cols * 2, 0x35);
    const std::vector<float> x = values(cols);
    std::vector<float> y(rows);
    for (auto _ : state) {
        kernel(y.data(), w.data(), x.data(), rows, cols);
        benchmark::ClobberMemory();
    }
    set_rate(state, "B/s", static_cast<double>(w.size()));
}

void gemm_q8(benchmark::State& state, const KernelSet& set)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const size_t group = argument(state, 2);
    const size_t batch = argument(state, 3);
    std::vector<int8_t> w(rows * cols);
    std::vector<float> w_scales(rows * cols / group);
    std::vector<int8_t> x(batch * cols);
    std::vector<float> x_scales(batch * cols / group);
    set.quantize_q8(w.data(), w_scales.data(), values(rows * cols).data(), rows * cols, group);
    set.quantize_q8(x.data(), x_scales.data(), values(batch * cols).data(), batch * cols, group);
    std::vector<float> y(batch * rows);
    for (auto _ : state) {
        set.gemm_q8(y.data(), rows, w.data(), w_scales.data(), x.data(), x_scales.data(), rows, cols, group, batch);
        benchmark::ClobberMemory();
    }
    set_rate(state, "OP/s", 2.0 * static_cast<double>(rows * cols * batch));
    set_rate(state, "B/s", static_cast<double>(rows * cols));
}

/// Decode: one position, heads that share keys and values in F16, over a context.
void attention(benchmark::State& state, const KernelSet& set)
{
    const size_t positions = argument(state, 0);
    const size_t head_dim = argument(state, 1);
    const size_t heads = argument(state, 2);
    const std::vector<float> query = values(heads * head_dim);
    std::vector<float> out(heads * head_dim);
    std::vector<uint8_t> keys(positions * head_dim * 2);
    llmk::djiblas::kScalar.pack_f16(keys.data(), values(positions * head_dim).data(), positions * head_dim);
    const std::vector<uint8_t> rows = keys;
    for (auto _ : state) {
        set.attention_f16({.query = query.data(),
                           .out = out.data(),
                           .stride = heads * head_dim,
                           .count = 1,
                           .heads = heads,
                           .head_dim = head_dim,
                           .keys = keys.data(),
                           .values = rows.data(),
                           .position = positions - 1,
                           .window = positions,
                           .begin = 0,
                           .end = positions,
                           .divisor = 8.0f,
                           .softcap = 0.0f});
        benchmark::ClobberMemory();
    }
    set_rate(state, "B/s", static_cast<double>(2 * keys.size()));
}

void swiglu(benchmark::State& state, const KernelSet& set)
{
    const size_t n = argument(state, 0);
    const std::vector<float> up = values(n);
    std::vector<float> gate = values(n);
    for (auto _ : state) {
        set.swiglu(gate.data(), up.data(), n);
        benchmark::ClobberMemory();
    }
    set_rate(state, "values/s", static_cast<double>(n));
}

using Dequantize = llmk::djiblas::Dequantize;

/// A row of a packed matrix, in the first-level cache with its values.
void dequantize(benchmark::State& state, Dequantize kernel, llmk::djiblas::BlockShape block)
{
    const size_t n = argument(state, 0);
    const std::vector<uint8_t> packed(n / block.values * block.bytes, 0x35); // scales of 0.32
    std::vector<float> out(n);
    for (auto _ : state) {
        kernel(out.data(), packed.data(), n);
        benchmark::ClobberMemory();
    }
    set_rate(state, "values/s", static_cast<double>(n));
}

using llmk::djiblas::PanelType;

/// Panels of packed weights by many rows of input (prefill), or by one (decode).
void panels(benchmark::State& state, const llmk::djiblas::PanelKernels& kernels, PanelType type)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const size_t batch = argument(state, 2);
    const size_t stride = llmk::row_stride<int8_t>(cols);
    const size_t y_stride = llmk::row_stride<float>(rows);
    const llmk::djiblas::PanelFields& fields = llmk::djiblas::panel_fields(type);
    const std::vector<uint8_t> weights(rows * cols / fields.values * fields.bytes, 0x35); // scales of 0.32
    const std::unique_ptr<int8_t, decltype(&std::free)> q(static_cast<int8_t*>(std::aligned_alloc(64, batch * stride)),
                                                          std::free);
    std::vector<llmk::djiblas::InputScale> scales(batch * stride / llmk::djiblas::kInputBlock);
    llmk::djiblas::kScalar.quantize_input(q.get(), scales.data(), values(batch * stride).data(), batch * stride);
    std::vector<float> y(batch * y_stride);
    const size_t count = rows / llmk::djiblas::kPanelRows;
    for (auto _ : state) {
        kernels.product[static_cast<size_t>(type)](y.data(), y_stride, weights.data(), count,
                                                   {q.get(), stride, scales.data(), batch, cols});
        benchmark::ClobberMemory();
    }
    set_rate(state, "OP/s", 2.0 * static_cast<double>(rows * cols * batch));
    set_rate(state, "B/s", static_cast<double>(weights.size()));
}

/// The same with BF16 numbers.
void bf16_panels(benchmark::State& state, const KernelSet& set, PanelType type)
{
    const size_t rows = argument(state, 0);
    const size_t cols = argument(state, 1);
    const size_t batch = argument(state, 2);
    const size_t y_stride = llmk::row_stride<float>(rows);
    const llmk::djiblas::PanelFields& fields = llmk::djiblas::panel_fields(type);
    const std::vector<uint8_t> weights(rows * cols / fields.values * fields.bytes, 0x35);
    const std::unique_ptr<uint16_t, decltype(&std::free)> x(
        static_cast<uint16_t*>(
            std::aligned_alloc(64, llmk::djiblas::Bf16Input::values(batch, cols) * sizeof(uint16_t))),
        std::free);
    const std::vector<float> row = values(cols);
    for (size_t b = 0; b < batch; b++) {
        set.bf16_panels->round_row(x.get() + llmk::djiblas::Bf16Input::row_at(b, cols), row.data(), cols);
    }
    std::vector<float> y(batch * y_stride);
    const size_t count = rows / llmk::djiblas::kPanelRows;
    for (auto _ : state) {
        set.bf16_panels->product[static_cast<size_t>(type)](y.data(), y_stride, weights.data(), count,
                                                            {x.get(), batch, cols});
        benchmark::ClobberMemory();
    }
    set_rate(state, "OP/s", 2.0 * static_cast<double>(rows * cols * batch));
}

/// Only kernels of the set's own: in the caches, and more than any cache holds.
template <class Kernel>
void register_gemv(const std::string& name, void (*measure)(benchmark::State&, Kernel), Kernel kernel)
{
    if (kernel != nullptr) {
        benchmark::RegisterBenchmark(name.c_str(), measure, kernel)->Args({768, 288})->Args({65536, 2048});
    }
}

/// Only kernels of the set's own.
void register_panels(const char* type_name, const KernelSet& set, PanelType type)
{
    if (set.panels != nullptr) {
        const std::string name = std::string("panels_") + type_name + "/" + set.name;
        benchmark::RegisterBenchmark(name.c_str(), panels, *set.panels, type)
            ->Args({2048, 2048, 128})
            ->Args({2048, 5632, 128})
            ->Args({65536, 2048, 1});
    }
    const auto register_reading = [&](const char* reading, const llmk::djiblas::PanelKernels* kernels) {
        if (kernels != nullptr) {
            const std::string name = std::string("panels_") + reading + "_" + type_name + "/" + set.name;
            benchmark::RegisterBenchmark(name.c_str(), panels, *kernels, type)->Args({65536, 2048, 1});
        }
    };
    register_reading("side_by_side", set.panels_side_by_side);
    register_reading("in_places", set.panels_in_places);
    if (set.bf16_panels != nullptr) {
        const std::string name = std::string("panels_") + type_name + "/" + set.name;
        benchmark::RegisterBenchmark(name.c_str(), bf16_panels, set, type)
            ->Args({2048, 2048, 128})
            ->Args({2048, 5632, 128});
    }
}

/// Only kernels of the set's own.
void register_dequantize(const char* type, const KernelSet& set, Dequantize KernelSet::*kernel,
                         llmk::djiblas::BlockShape block)
{
    if (set.*kernel != nullptr) {
        const std::string name = std::string("dequantize_") + type + "/" + set.name;
        benchmark::RegisterBenchmark(name.c_str(), dequantize, set.*kernel, block)->Args({2048});
    }
}

/// No static registration elsewhere in this project: here it is the benchmark library's own way.
const bool kRegistered = [] {
    const llmk::CpuFeatures cpu = llmk::detect_cpu();
    for (const KernelSet* set : llmk::kernel_sets()) {
        if (!llmk::complete_kernel_set(set->name, cpu).ok()) {
            continue;
        }
        const std::string name = std::string("/") + set->name;
        // stories15M's feed-forward, TinyLlama's feed-forward: one in the second-level cache, one in memory.
        benchmark::RegisterBenchmark(("gemm_f32" + name).c_str(), gemm_f32, *set)
            ->Args({768, 288, 64})
            ->Args({5632, 2048, 64})
            ->Args({2048, 2048, 128})
            ->Args({2048, 5632, 128});
        if (set->turned != nullptr) {
            benchmark::RegisterBenchmark(("gemm_turned" + name).c_str(), gemm_turned, *set)
                ->Args({768, 288, 64})
                ->Args({5632, 2048, 64})
                ->Args({2048, 2048, 128})
                ->Args({2048, 5632, 128});
        }
        register_gemv("gemv_f32" + name, gemv_f32, set->gemv_f32);
        register_gemv("gemv_f32_side_by_side" + name, gemv_f32, set->gemv_f32_side_by_side);
        register_gemv("gemv_f32_in_places" + name, gemv_f32, set->gemv_f32_in_places);
        register_gemv("gemv_f16" + name, gemv_half, set->gemv_f16);
        register_gemv("gemv_f16_side_by_side" + name, gemv_half, set->gemv_f16_side_by_side);
        register_gemv("gemv_f16_in_places" + name, gemv_half, set->gemv_f16_in_places);
        register_gemv("gemv_bf16" + name, gemv_half, set->gemv_bf16);
        register_gemv("gemv_bf16_side_by_side" + name, gemv_half, set->gemv_bf16_side_by_side);
        register_gemv("gemv_bf16_in_places" + name, gemv_half, set->gemv_bf16_in_places);
        benchmark::RegisterBenchmark(("gemm_q8" + name).c_str(), gemm_q8, *set)
            ->Args({768, 288, 32, 1})
            ->Args({5632, 2048, 64, 1})
            ->Args({768, 288, 4, 1})
            ->Args({768, 288, 32, 64})
            ->Args({5632, 2048, 64, 64});
        benchmark::RegisterBenchmark(("attention" + name).c_str(), attention, *set)
            ->Args({256, 48, 1})
            ->Args({2048, 64, 1})
            ->Args({2048, 64, 8})
            ->Args({2048, 128, 4});
        benchmark::RegisterBenchmark(("swiglu" + name).c_str(), swiglu, *set)->Args({2048});
        register_panels("q8_0", *set, PanelType::q8_0);
        register_panels("q4_0", *set, PanelType::q4_0);
        register_panels("q4_k", *set, PanelType::q4_k);
        register_panels("q6_k", *set, PanelType::q6_k);
        register_dequantize("f16", *set, &KernelSet::dequantize_f16, llmk::djiblas::kBlockF16);
        register_dequantize("q8_0", *set, &KernelSet::dequantize_q8_0, llmk::djiblas::kBlockQ80);
        register_dequantize("q4_0", *set, &KernelSet::dequantize_q4_0, llmk::djiblas::kBlockQ40);
        register_dequantize("q4_k", *set, &KernelSet::dequantize_q4_k, llmk::djiblas::kBlockQ4K);
        register_dequantize("q6_k", *set, &KernelSet::dequantize_q6_k, llmk::djiblas::kBlockQ6K);
        register_dequantize("iq4_xs", *set, &KernelSet::dequantize_iq4_xs, llmk::djiblas::kBlockIq4Xs);
    }
    return true;
}();

} // namespace

BENCHMARK_MAIN();
