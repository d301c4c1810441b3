// SPDX-License-Identifier: MIT
#include "model/weight_checks.h"

#include "base/checksum.h"

#include <algorithm>
#include <atomic>

namespace llmk {

namespace {

uint64_t block_count(const TensorDesc& tensor) { return (tensor.size_bytes + kCheckBlockBytes - 1) / kCheckBlockBytes; }

uint64_t block_sum(const uint8_t* data, uint64_t size_bytes, uint64_t block)
{
    const uint64_t start = block * kCheckBlockBytes;
    return checksum(data + start, std::min(kCheckBlockBytes, size_bytes - start), block);
}

} // namespace

BlockSums::BlockSums(std::span<TensorDesc> tensors) : m_tensors(tensors)
{
    for (const TensorDesc& tensor : tensors) {
        m_parts += block_count(tensor);
    }
}

void BlockSums::add_part(void* sums, size_t part)
{
    const auto& self = *static_cast<const BlockSums*>(sums);
    size_t index = 0;
    for (; part >= block_count(self.m_tensors[index]); ++index) {
        part -= block_count(self.m_tensors[index]);
    }
    TensorDesc& tensor = self.m_tensors[index];
    // Blocks of one tensor may be done by several processors at a time.
    std::atomic_ref(tensor.checksum)
        .fetch_add(block_sum(tensor.data, tensor.size_bytes, part), std::memory_order_relaxed);
}

WeightFinisher::WeightFinisher(Platform& platform, ModelDesc& desc, uint64_t total_bytes)
    : m_platform(platform), m_tensors(desc.tensors.span()),
      m_processors(total_bytes < kWorthTheOthersBytes ? 1 : platform.processor_count()),
      m_late(platform.files_need_processors()), m_repacker(platform, desc)
{
}

Result<void> WeightFinisher::prepare() { return m_repacker.prepare(m_processors); }

void WeightFinisher::begin(Doing doing, ParallelFunction function, void* context, size_t parts)
{
    m_doing = doing;
    if (m_processors > 1) {
        m_platform.parallel_begin(function, context, parts);
        return;
    }
    for (size_t part = 0; part < parts; ++part) {
        function(context, part);
    }
}

/// Ends what is being done and begins what comes next, if anything does.
void WeightFinisher::next()
{
    m_platform.parallel_end();
    if (m_doing == Doing::repacking) {
        m_repacker.mark();
    } else {
        m_first = m_begun;
        m_begun = m_ready;
        if (m_first == m_begun) {
            m_doing = Doing::nothing;
            return;
        }
        if (const size_t parts = m_repacker.take(m_tensors.subspan(m_first, m_begun - m_first)); parts > 0) {
            begin(Doing::repacking, Repacker::do_part, &m_repacker, parts);
            return;
        }
    }
    if (m_late) {
        m_doing = Doing::nothing;
        return;
    }
    m_sums = BlockSums(m_tensors.subspan(m_first, m_begun - m_first));
    begin(Doing::summing, BlockSums::add_part, &m_sums, m_sums.parts());
}

void WeightFinisher::ready(size_t count)
{
    m_ready = count;
    if (m_processors == 1) {
        finish();
    } else if (!m_late && m_platform.parallel_done()) { // else the others are still at the last ones
        next();
    }
}

void WeightFinisher::finish()
{
    do {
        next();
    } while (m_doing != Doing::nothing);
}

bool LateSums::step()
{
    constexpr uint64_t kStepBlocks = (4u << 20) / kCheckBlockBytes;
    const std::span<TensorDesc> tensors = m_model.desc.tensors.span();
    size_t& index = m_model.summed_tensors;
    uint64_t& block = m_model.summed_blocks;
    for (uint64_t left = kStepBlocks; left > 0 && index < tensors.size();) {
        TensorDesc& tensor = tensors[index];
        const uint64_t count = std::min(left, block_count(tensor) - block);
        for (uint64_t i = 0; i < count; ++i, ++block) {
            tensor.checksum += block_sum(tensor.data, tensor.size_bytes, block);
        }
        left -= count;
        if (block == block_count(tensor)) {
            ++index;
            block = 0;
        }
    }
    return index < tensors.size();
}

uint64_t extra_checksum(const Arena& weights)
{
    const Arena::Extent& last = weights.extents().back();
    const uint64_t size_bytes = last.used_bytes - Arena::kFrontBytes;
    uint64_t sum = 0;
    for (uint64_t block = 0; block * kCheckBlockBytes < size_bytes; ++block) {
        sum += block_sum(last.base + Arena::kFrontBytes, size_bytes, block);
    }
    return sum;
}

WeightReport verify_weights(Platform& platform, const Model& model, const Arena& weights)
{
    const uint64_t started = platform.ticks();
    WeightReport report;
    for (const TensorDesc& loaded : model.desc.tensors) {
        TensorDesc tensor = loaded;
        tensor.checksum = 0;
        BlockSums job({&tensor, 1});
        platform.parallel(BlockSums::add_part, &job, job.parts());
        report.bytes += tensor.size_bytes;
        if (tensor.checksum != loaded.checksum && report.changed++ == 0) {
            report.first = tensor_name(tensor.role, tensor.layer);
            report.address = reinterpret_cast<uintptr_t>(tensor.data);
        }
    }
    const Arena::Extent& last = weights.extents().back();
    report.bytes += last.used_bytes - Arena::kFrontBytes;
    if (extra_checksum(weights) != model.extra_checksum && report.changed++ == 0) {
        report.first = Text<64>("the vocabulary");
        report.address = reinterpret_cast<uintptr_t>(last.base);
    }
    report.ticks = platform.ticks() - started;
    return report;
}

} // namespace llmk
