// SPDX-License-Identifier: MIT
//
// What all kernel checks share: which sets run here and against which oracle, buffers that notice a byte too far, and
// tolerances. Each set is checked against scalar, and scalar against `reference`, a naive one in double.
#pragma once

#include "cpu/kernels.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace llmk::check {

using djiblas::KernelSet;
using djiblas::UnalignedF32;

/// Half a unit in the last place of 1: the relative error of one float operation.
constexpr double kRounding = 0x1p-24;

/// Everything of KernelSet computed in double and rounded once.
extern const KernelSet kReference;

/// All sets. Those that this machine cannot run are skipped by KernelCheck, so that a run says which they are.
std::vector<const KernelSet*> all_sets();

/// `count` values to be read, `offset` bytes off alignment. The last value ends where the heap block ends, so that
/// AddressSanitizer sees a read past it.
template <class T> class Input {
public:
    Input(size_t count, size_t offset)
        : m_count(count), m_bytes(new unsigned char[offset + count * sizeof(T)]), m_data(m_bytes.get() + offset)
    {
    }

    template <class Make> Input(size_t count, size_t offset, Make make) : Input(count, offset)
    {
        for (size_t i = 0; i < count; i++) {
            set(i, make());
        }
    }

    void set(size_t i, T value) { std::memcpy(m_data + i * sizeof(T), &value, sizeof(T)); }
    T get(size_t i) const
    {
        T value;
        std::memcpy(&value, m_data + i * sizeof(T), sizeof(T));
        return value;
    }
    size_t size() const { return m_count; }
    /// Aligned to the type only when the offset was.
    const T* data() const { return reinterpret_cast<const T*>(m_data); }
    const UnalignedF32* unaligned() const { return reinterpret_cast<const UnalignedF32*>(m_data); }

private:
    size_t m_count;
    std::unique_ptr<unsigned char[]> m_bytes;
    unsigned char* m_data;
};

/// `count` values to be written, `offset` values off alignment, between canaries.
template <class T> class Output {
public:
    Output(size_t count, size_t offset)
        : m_count(count), m_values(2 * kCanaries + offset + count, kCanary),
          m_data(m_values.data() + kCanaries + offset)
    {
    }

    T* data() { return m_data; }
    T& operator[](size_t i) { return m_data[i]; }
    const T& operator[](size_t i) const { return m_data[i]; }
    size_t size() const { return m_count; }

    /// Nothing outside was written.
    bool intact() const
    {
        const T* end = m_values.data() + m_values.size();
        for (const T* p = m_values.data(); p != end; p++) {
            if ((p < m_data || p >= m_data + m_count) && *p != kCanary) {
                return false;
            }
        }
        return true;
    }

private:
    static constexpr size_t kCanaries = 64;
    static constexpr T kCanary = static_cast<T>(-99);
    size_t m_count;
    std::vector<T> m_values;
    T* m_data;
};

/// A set, and what it must agree with.
class KernelCheck : public testing::TestWithParam<const KernelSet*> {
protected:
    /// The set as the engine would get it by name.
    const KernelSet& set() const { return m_set; }
    const KernelSet& oracle() const { return *m_oracle; }
    void SetUp() override { take(*GetParam()); }
    /// Checks this set, or skips the test if the processor lacks what it needs.
    void take(const KernelSet& own);
    /// Instead of what was taken: a set that is in no table, against scalar.
    void use(const KernelSet& set)
    {
        m_set = set;
        m_oracle = &djiblas::kScalar;
    }

    /// Values in [-1, 1), the same in every run.
    float real() { return std::uniform_real_distribution<float>(-1.0f, 1.0f)(m_random); }
    /// Values in [-scale, scale), `offset` floats off alignment.
    Input<float> input(size_t count, size_t offset, float scale = 1.0f)
    {
        return Input<float>(count, offset * sizeof(float), [this, scale] { return real() * scale; });
    }
    static void copy(Output<float>& to, const Input<float>& from)
    {
        std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
    }
    int8_t byte() { return static_cast<int8_t>(std::uniform_int_distribution<int>(-128, 127)(m_random)); }

private:
    KernelSet m_set{};
    const KernelSet* m_oracle = nullptr;
    std::mt19937 m_random{20240601};
};

/// Test names from set names.
std::string set_name(const testing::TestParamInfo<const KernelSet*>& info);

#define LLMK_CHECK_ALL_SETS() INSTANTIATE_TEST_SUITE_P(Sets, KernelCheck, testing::ValuesIn(all_sets()), set_name)

/// Distance in units in the last place; 0 for two NaN, huge for one.
inline uint32_t ulp_distance(float a, float b)
{
    if (a != a || b != b) {
        return (a != a) == (b != b) ? 0 : UINT32_MAX;
    }
    const auto key = [](float f) {
        int32_t bits;
        std::memcpy(&bits, &f, sizeof bits);
        return bits < 0 ? int64_t{INT32_MIN} - bits : int64_t{bits};
    };
    const int64_t distance = key(a) - key(b);
    return static_cast<uint32_t>(distance < 0 ? -distance : distance);
}

/// Absolute tolerance, in double; two NaN are near each other.
inline bool near(float got, float want, double tolerance)
{
    if (got != got || want != want) {
        return (got != got) == (want != want);
    }
    const double difference = static_cast<double>(got) - static_cast<double>(want);
    return got == want || (difference <= tolerance && -difference <= tolerance);
}

} // namespace llmk::check
