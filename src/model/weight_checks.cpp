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

LoadChecks::LoadChecks(Platform& platform, std::span<TensorDesc> tensors, uint64_t total_bytes)
    : m_platform(platform), m_tensors(tensors),
      m_alone(total_bytes < kWorthTheOthersBytes || platform.processor_count() == 1)
{
}

void LoadChecks::begin()
{
    m_job = BlockSums(m_tensors.subspan(m_begun, m_ready - m_begun));
    m_begun = m_ready;
    if (m_alone) {
        for (size_t part = 0; part < m_job.parts(); ++part) {
            BlockSums::add_part(&m_job, part);
        }
    } else {
        m_platform.parallel_begin(BlockSums::add_part, &m_job, m_job.parts());
    }
}

void LoadChecks::ready(size_t count)
{
    m_ready = count;
    if (m_ready != m_begun && m_platform.parallel_done()) { // else the others are still at the last ones
        m_platform.parallel_end();
        begin();
    }
}

void LoadChecks::finish()
{
    m_platform.parallel_end();
    if (m_begun < m_ready) {
        begin();
        m_platform.parallel_end();
    }
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
