// SPDX-License-Identifier: MIT
//
// What becomes of weights once they are read: they are laid out as the kernels want them, and summed, by the other
// processors where there are any, while the next ones are read. Where that would hold the reading up (an emulator's
// devices and processors share those of its host), they are laid out when all is read, and summed while the program
// waits for a key, or when /verify wants the sums. /verify compares the checksums. Of a tensor it is the
// sum of its blocks' checksums, each with its number mixed in, so that blocks can be done in any order by any
// processor, and a change within one block always shows. Order for a tensor: it is read, then laid out as the kernels
// want it, then summed.
#pragma once

#include "model/model.h"
#include "model/panels.h"

namespace llmk {

/// Large enough that claiming one costs nothing, small enough that nobody waits long for the last.
constexpr uint64_t kCheckBlockBytes = 256 * 1024;

/// The blocks of a run of tensors, as parts of a parallel job that adds to TensorDesc::checksum, from 0 on.
class BlockSums {
public:
    BlockSums() = default;
    /// They must outlive the job.
    explicit BlockSums(std::span<TensorDesc> tensors);

    size_t parts() const { return m_parts; }
    /// A ParallelFunction on a BlockSums.
    static void add_part(void* sums, size_t part);

private:
    std::span<TensorDesc> m_tensors;
    size_t m_parts = 0;
};

/// Firmware takes ten milliseconds to start the others, and does not start them again for a tenth of a second once they
/// are back: of fewer bytes than this one processor has made the sums sooner, and the first turn finds all of them.
constexpr uint64_t kWorthTheOthersBytes = 128u << 20;

/// Repacks and then sums tensors as they become complete. With other processors the caller goes on meanwhile; alone, it
/// does the work itself, between two reads, while the bytes are in the cache. Where Platform::files_need_processors,
/// the others begin in finish(), and the sums are LateSums'.
class WeightFinisher {
public:
    /// `total_bytes` are those of all tensors.
    WeightFinisher(Platform& platform, ModelDesc& desc, uint64_t total_bytes);
    /// A job is never left behind: its tensors may go.
    ~WeightFinisher() { m_platform.parallel_end(); }
    WeightFinisher(const WeightFinisher&) = delete;
    WeightFinisher& operator=(const WeightFinisher&) = delete;

    /// Before the first ready(): takes memory to repack in. Status::out_of_memory.
    Result<void> prepare();
    /// The first `count` tensors are in memory.
    void ready(size_t count);
    /// Returns when all that are ready are repacked and, unless late, summed.
    void finish();
    /// Whether LateSums has the sums to make.
    bool late() const { return m_late; }

private:
    enum class Doing : uint8_t { nothing, repacking, summing };

    void next();
    void begin(Doing doing, ParallelFunction function, void* context, size_t parts);

    Platform& m_platform;
    std::span<TensorDesc> m_tensors;
    size_t m_processors;
    bool m_late;
    Doing m_doing = Doing::nothing;
    size_t m_first = 0; ///< of the tensors that are being done
    size_t m_begun = 0; ///< their end
    size_t m_ready = 0;
    Repacker m_repacker;
    BlockSums m_sums;
};

/// The sums that the load has left, in steps that nobody notices who types meanwhile.
class LateSums {
public:
    explicit LateSums(Model& model) : m_model(model) {}
    /// Sums about four megabytes: a millisecond. False when nothing is left to sum.
    bool step();
    void finish()
    {
        while (step()) {
        }
    }

private:
    Model& m_model;
};

/// What /verify found.
struct WeightReport {
    uint64_t bytes = 0;
    uint64_t ticks = 0;
    size_t changed = 0; ///< pieces whose checksum is no longer that of the load
    Text<64> first;     ///< the first of them: a tensor's name, or "the vocabulary"
    uint64_t address = 0;
};

/// Sums the vocabulary and what the architecture computed, as the load leaves them in WEIGHTS behind the tensors.
uint64_t extra_checksum(const Arena& weights);

/// Sums WEIGHTS again, on all processors.
WeightReport verify_weights(Platform& platform, const Model& model, const Arena& weights);

} // namespace llmk
