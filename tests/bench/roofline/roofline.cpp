// SPDX-License-Identifier: MIT
//
// The limits that `make bench` holds speeds against: bytes a second read from memory, and operations a second of each
// instruction set, with one thread and with more. A program of its own that runs on any x86-64: every function names
// the instructions it is compiled for, and only those run that the processor has. Prints one JSON object.
//
//     roofline [THREADS...]                   (default: 1 and all)
//     roofline --peak SET float|int8 THREADS  (prints one number: 1e9 operations a second over about half a second)
//
// Reading: each thread sums a part of a buffer larger than any cache, best of several passes and of several ways to
// walk it. Peaks: sums in registers, as many as hide the latency; a multiplication and an addition count as two.
#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cpuid.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBufferBytes = size_t{768} << 20;
constexpr size_t kLine = 64;
constexpr size_t kPage = 4096;
constexpr int kPasses = 5;
/// Timed one by one: short enough that one goes undisturbed on a busy machine, and when its turn comes again, no cache
/// knows it.
constexpr size_t kPieces = 4;
constexpr int kPeakPasses = 50;
constexpr long kPeakRounds = 300'000;

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Runs `work(thread)` on each of `threads` at once and returns how long it took, from the common start to the last.
template <class Work> double timed(size_t threads, const Work& work)
{
    std::atomic<size_t> ready = 0;
    std::atomic<bool> go = false;
    std::vector<std::thread> others;
    for (size_t i = 1; i < threads; i++) {
        others.emplace_back([&, i] {
            ready++;
            while (!go) {
            }
            work(i);
        });
    }
    while (ready + 1 < threads) {
    }
    const double started = seconds();
    go = true;
    work(0);
    for (std::thread& other : others) {
        other.join();
    }
    return seconds() - started;
}

#define LLMK_ISA(isa) __attribute__((target(isa), noinline))
/// Uses sums, so that the compiler cannot leave their making out.
#define LLMK_KEEP(sums) asm volatile("" : : "x"(sums[0]), "x"(sums[1]), "x"(sums[2]), "x"(sums[3]))

// --- reading ---------------------------------------------------------------------------------------------------------

using Reader = void (*)(const uint8_t* data, size_t bytes);

LLMK_ISA("sse2") void read_sse2(const uint8_t* data, size_t bytes)
{
    __m128i sums[4] = {};
    for (size_t i = 0; i < bytes; i += kLine) {
        for (size_t j = 0; j < 4; j++) {
            sums[j] = _mm_add_epi32(sums[j], _mm_load_si128(reinterpret_cast<const __m128i*>(data + i + 16 * j)));
        }
    }
    LLMK_KEEP(sums);
}

LLMK_ISA("avx2") void read_avx2(const uint8_t* data, size_t bytes)
{
    __m256i sums[4] = {};
    for (size_t i = 0; i < bytes; i += 2 * kLine) {
        for (size_t j = 0; j < 4; j++) {
            sums[j] = _mm256_add_epi32(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
        }
    }
    LLMK_KEEP(sums);
}

/// As read_avx2, asking for lines well ahead: helps where the processor's own prefetching stops at pages.
LLMK_ISA("avx2") void read_ahead_avx2(const uint8_t* data, size_t bytes)
{
    __m256i sums[4] = {};
    for (size_t i = 0; i < bytes; i += 2 * kLine) {
        _mm_prefetch(reinterpret_cast<const char*>(data + i + kPage), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(data + i + kPage + kLine), _MM_HINT_T0);
        for (size_t j = 0; j < 4; j++) {
            sums[j] = _mm256_add_epi32(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j)));
        }
    }
    LLMK_KEEP(sums);
}

/// As read_avx2, at four places in turn, as a kernel that works on four rows reads.
LLMK_ISA("avx2") void read_four_avx2(const uint8_t* data, size_t bytes)
{
    const size_t part = bytes / 4;
    __m256i sums[4] = {};
    for (size_t i = 0; i < part; i += 2 * kLine) {
        for (size_t k = 0; k < 4; k++) {
            const uint8_t* at = data + k * part + i;
            for (size_t j = 0; j < 4; j++) {
                sums[j] = _mm256_add_epi32(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(at + 32 * j)));
            }
        }
    }
    LLMK_KEEP(sums);
}

LLMK_ISA("avx512f") void read_avx512(const uint8_t* data, size_t bytes)
{
    __m512i sums[4] = {};
    for (size_t i = 0; i < bytes; i += 4 * kLine) {
        for (size_t j = 0; j < 4; j++) {
            sums[j] = _mm512_add_epi32(sums[j], _mm512_load_si512(data + i + kLine * j));
        }
    }
    LLMK_KEEP(sums);
}

/// Large pages where the system gives them, as firmware's tables have: otherwise the walk of small ones is measured.
uint8_t* buffer()
{
    constexpr size_t kLargePage = size_t{2} << 20;
    auto* data = static_cast<uint8_t*>(std::aligned_alloc(kLargePage, kBufferBytes));
    if (data == nullptr) {
        std::fprintf(stderr, "roofline: %zu MiB of memory are needed\n", kBufferBytes >> 20);
        std::exit(1);
    }
    madvise(data, kBufferBytes, MADV_HUGEPAGE);
    std::fill_n(data, kBufferBytes, uint8_t{1});
    return data;
}

/// Bytes a second, the best of all ways and passes.
double read_speed(const uint8_t* data, size_t threads)
{
    std::vector<Reader> readers = {read_sse2};
    if (__builtin_cpu_supports("avx2")) {
        readers.insert(readers.end(), {read_avx2, read_ahead_avx2, read_four_avx2});
    }
    if (__builtin_cpu_supports("avx512f")) {
        readers.push_back(read_avx512);
    }
    const size_t piece = kBufferBytes / kPieces;
    const size_t part = piece / threads / (16 * kPage) * (16 * kPage);
    double best = 0.0;
    for (int pass = 0; pass < kPasses; pass++) {
        for (const Reader reader : readers) {
            for (size_t at = 0; at < kBufferBytes; at += piece) {
                const double took = timed(threads, [&](size_t i) { reader(data + at + i * part, part); });
                best = std::max(best, static_cast<double>(part * threads) / took);
            }
        }
    }
    return best;
}

// --- peaks -----------------------------------------------------------------------------------------------------------

/// A loop of `step` for each register of the list, `\\n` in it: none depends on another, and the list is long enough to
/// hide the latency. In assembly, because a compiler sees that such sums mean nothing. Registers 14 and 15 hold the
/// factors, 12 and 13 what is between. `finish`: SSE code behind AVX code is slow while upper halves are in use.
#define LLMK_PEAK(name, setup, step, registers, finish)                                                                \
    void name(long rounds)                                                                                             \
    {                                                                                                                  \
        asm volatile(setup "\n1:\n .irp n," registers "\n" step "\n.endr\n dec %0\n jnz 1b\n" finish                   \
                     : "+r"(rounds)                                                                                    \
                     : "m"(kFactors)                                                                                   \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                                                   \
    }

/// 0.75 as floats, 63 as bytes: products of ordinary size.
alignas(64) constexpr uint32_t kFactors[16] = {
    0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f,
    0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f, 0x3f3f3f3f,
};

constexpr double kRegisters = 12; // of sixteen, and for AVX-512 the upper sixteen of its thirty-two
constexpr double kUpper = 16;
#define LLMK_LOWER_REGISTERS "0,1,2,3,4,5,6,7,8,9,10,11"
#define LLMK_UPPER_REGISTERS "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define LLMK_ZERO_SSE ".irp n," LLMK_LOWER_REGISTERS "\n xorps %%xmm\\n, %%xmm\\n\n.endr\n"
#define LLMK_SETUP_SSE LLMK_ZERO_SSE "movaps %1, %%xmm14\n movaps %1, %%xmm15"
#define LLMK_SETUP_AVX "vzeroall\n vmovaps %1, %%ymm14\n vmovaps %1, %%ymm15"
#define LLMK_SETUP_512                                                                                                 \
    ".irp n," LLMK_UPPER_REGISTERS "\n vpxord %%zmm\\n, %%zmm\\n, %%zmm\\n\n.endr\n"                                   \
    "vmovaps %1, %%zmm14\n vmovaps %1, %%zmm15"

LLMK_PEAK(peak_float_sse2, LLMK_SETUP_SSE, "movaps %%xmm14, %%xmm12\n mulps %%xmm15, %%xmm12\n addps %%xmm12, %%xmm\\n",
          LLMK_LOWER_REGISTERS, "")
LLMK_PEAK(peak_float_avx2, LLMK_SETUP_AVX, "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\n", LLMK_LOWER_REGISTERS, "vzeroupper")
LLMK_PEAK(peak_float_avx512, LLMK_SETUP_512, "vfmadd231ps %%zmm14, %%zmm15, %%zmm\\n", LLMK_UPPER_REGISTERS,
          "vzeroupper")
/// On values that are 16 bits wide already: what a kernel spends on widening comes on top.
LLMK_PEAK(peak_int8_sse2, LLMK_SETUP_SSE,
          "movdqa %%xmm14, %%xmm12\n pmaddwd %%xmm15, %%xmm12\n paddd %%xmm12, %%xmm\\n", LLMK_LOWER_REGISTERS, "")
LLMK_PEAK(peak_int8_avx2, LLMK_SETUP_AVX,
          "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n vpmaddwd %%ymm12, %%ymm15, %%ymm13\n"
          " vpaddd %%ymm13, %%ymm\\n, %%ymm\\n",
          LLMK_LOWER_REGISTERS, "vzeroupper")
LLMK_PEAK(peak_int8_avx_vnni, LLMK_SETUP_AVX, "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\n", LLMK_LOWER_REGISTERS,
          "vzeroupper")
LLMK_PEAK(peak_int8_avx512, LLMK_SETUP_512,
          "vpmaddubsw %%zmm14, %%zmm15, %%zmm12\n vpmaddwd %%zmm12, %%zmm15, %%zmm13\n"
          " vpaddd %%zmm13, %%zmm\\n, %%zmm\\n",
          LLMK_UPPER_REGISTERS, "vzeroupper")
LLMK_PEAK(peak_int8_avx512_vnni, LLMK_SETUP_512, "vpdpbusd %%zmm14, %%zmm15, %%zmm\\n", LLMK_UPPER_REGISTERS,
          "vzeroupper")

struct Peak {
    const char* set;
    const char* kind; ///< "float" or "int8"
    void (*run)(long rounds);
    double operations; ///< of one round: registers x multiply-adds in one x 2
    bool usable;
};

/// The compilers' own check knows this one from their newer versions on.
bool has_avx_vnni()
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}

std::vector<Peak> peaks()
{
    constexpr double kFew = 2.0 * kRegisters;
    constexpr double kMany = 2.0 * kUpper;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return {
        {"sse2", "float", peak_float_sse2, 4 * kFew, true},
        {"avx2", "float", peak_float_avx2, 8 * kFew, avx2},
        {"avx512", "float", peak_float_avx512, 16 * kMany, avx512},
        {"sse2", "int8", peak_int8_sse2, 8 * kFew, true},
        {"avx2", "int8", peak_int8_avx2, 32 * kFew, avx2},
        {"avx_vnni", "int8", peak_int8_avx_vnni, 32 * kFew, has_avx_vnni()},
        {"avx512", "int8", peak_int8_avx512, 64 * kMany, avx512},
        {"avx512_vnni", "int8", peak_int8_avx512_vnni, 64 * kMany,
         avx512 && static_cast<bool>(__builtin_cpu_supports("avx512vnni"))},
    };
}

/// The best of some passes.
double peak_speed(const Peak& peak, size_t threads)
{
    double best = 0.0;
    for (int pass = 0; pass < kPeakPasses; pass++) {
        const double took = timed(threads, [&](size_t) { peak.run(kPeakRounds); });
        best = std::max(best, peak.operations * kPeakRounds * static_cast<double>(threads) / took);
    }
    return best;
}

/// Over half a second, whoever else uses the machine meanwhile. By threads that last as long: a system may leave a new
/// one on its maker's processor for some milliseconds, and threads made for each pass were as fast as one.
double mean_speed(const Peak& peak, size_t threads)
{
    constexpr double kSeconds = 0.5;
    constexpr long kRounds = kPeakRounds / 10; // so that no thread works alone for long at the end
    std::atomic<size_t> passes = 0;
    const double until = seconds() + kSeconds;
    const double took = timed(threads, [&](size_t) {
        do {
            peak.run(kRounds);
            passes++;
        } while (seconds() < until);
    });
    return peak.operations * kRounds * static_cast<double>(passes) / took;
}

int print_mean(const std::string& set, const std::string& kind, size_t threads)
{
    for (const Peak& peak : peaks()) {
        if (peak.usable && peak.set == set && peak.kind == kind) {
            std::printf("%.3f\n", mean_speed(peak, threads) / 1e9);
            return 0;
        }
    }
    std::fprintf(stderr, "roofline: no peak of %s on %s here\n", set.c_str(), kind.c_str());
    return 1;
}

size_t count_of(const char* text) { return static_cast<size_t>(std::max(1, std::atoi(text))); }

} // namespace

int main(int argc, char** argv)
{
    if (argc == 5 && std::string(argv[1]) == "--peak") {
        return print_mean(argv[2], argv[3], count_of(argv[4]));
    }
    std::vector<size_t> counts;
    for (int i = 1; i < argc; i++) {
        counts.push_back(count_of(argv[i]));
    }
    if (counts.empty()) {
        counts = {1, std::max(1u, std::thread::hardware_concurrency())};
    }
    const uint8_t* data = buffer();
    std::string read;
    std::string arithmetic;
    char text[128];
    for (const size_t count : counts) {
        std::snprintf(text, sizeof text, "%s\"%zu\": %.3f", read.empty() ? "" : ", ", count,
                      read_speed(data, count) / 1e9);
        read += text;
        for (const Peak& peak : peaks()) {
            if (peak.usable) {
                std::snprintf(
                    text, sizeof text, "%s{\"set\": \"%s\", \"kind\": \"%s\", \"threads\": %zu, \"gop_s\": %.1f}",
                    arithmetic.empty() ? "" : ", ", peak.set, peak.kind, count, peak_speed(peak, count) / 1e9);
                arithmetic += text;
            }
        }
    }
    std::printf("{\"read_gb_s\": {%s}, \"peaks\": [%s]}\n", read.c_str(), arithmetic.c_str());
    return 0;
}
