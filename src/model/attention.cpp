// SPDX-License-Identifier: MIT
#include "model/attention.h"

#include <algorithm>

namespace llmk {

namespace {

/// Queries of one head that go over the keys together: enough to be worth unpacking them.
constexpr uint64_t kTileRows = 32;
/// A few queries over a long context are cut along the context into about so many jobs,
constexpr uint64_t kWantedJobs = 64;
/// none of them for fewer positions than this.
constexpr uint64_t kSmallestPart = 256;
/// Parts begin at multiples of this: where a kernel's blocks begin.
constexpr uint64_t kPartAlignment = 64;
/// So many are few.
constexpr uint64_t kFewQueries = kLogitRows;

/// Positions of a tile.
uint64_t tile_positions(const ModelDesc& desc)
{
    return std::max<uint64_t>(1, kTileRows / (desc.head_count / desc.head_count_kv));
}

/// Positions of a part. The same for a whole session, so that what a query gives is the same in any batch of a few.
uint64_t part_positions(const ModelDesc& desc, uint64_t context)
{
    const uint64_t wanted = (kWantedJobs + desc.head_count_kv - 1) / desc.head_count_kv;
    const uint64_t parts = std::clamp<uint64_t>(context / kSmallestPart, 1, wanted);
    return align_up((context + parts - 1) / parts, kPartAlignment);
}

/// Some consecutive queries of a batch.
struct Slice {
    size_t start; ///< of the batch
    size_t count;
    size_t part; ///< positions; 0: the context is not parted
};

void attend_slice(const Ops& ops, const ModelDesc& desc, const KvCache& cache, const Workspace& workspace, size_t layer,
                  size_t batch_position, const Slice& slice, const AttentionRule& rule)
{
    const KernelSet& kernels = ops.attention_kernels();
    const djiblas::Attention kernel = cache.attention(kernels);
    const size_t group = desc.head_count / cache.heads;
    const size_t row = desc.head_count * cache.head_dim;
    const float* const query = workspace.query + slice.start * row;
    float* const attended = workspace.attended + slice.start * row;
    const size_t position = batch_position + slice.start;
    const size_t end = position + slice.count;
    const size_t first = position + 1 > rule.window ? position + 1 - rule.window : 0;
    const size_t first_part = slice.part == 0 ? 0 : first / slice.part;
    const size_t parts = slice.part == 0 ? 1 : (end + slice.part - 1) / slice.part - first_part;
    LLMK_ASSERT(slice.part == 0 || parts * slice.count * desc.head_count <= workspace.partial_rows);

    const size_t tile = tile_positions(desc);
    const size_t tiles = (slice.count + tile - 1) / tile;
    const size_t jobs = cache.heads * tiles * parts;
    const size_t shares = ops.parts_for(slice.count * row * (end - first) * 2, jobs);
    ops.parallel(shares, [&](size_t share) {
        // Parts of one head come one after the other, as they lie in memory: a kernel asks for what follows its part.
        // Of a long prompt, later tiles see more: there it is every shares-th job.
        const bool parted = slice.part != 0;
        const size_t end_of_share = parted ? jobs * (share + 1) / shares : jobs;
        for (size_t job = parted ? jobs * share / shares : share; job < end_of_share; job += parted ? 1 : shares) {
            const size_t part = job % parts;
            const size_t head = job / parts % cache.heads;
            const size_t start = job / parts / cache.heads * tile;
            const size_t at = start * row + head * group * cache.head_dim;
            djiblas::AttentionTask task = {.query = query + at,
                                           .out = attended + at,
                                           .stride = row,
                                           .count = std::min(tile, slice.count - start),
                                           .heads = group,
                                           .head_dim = cache.head_dim,
                                           .keys = cache.key(layer, head),
                                           .values = cache.value(layer, head),
                                           .position = position + start,
                                           .window = rule.window,
                                           .begin = 0,
                                           .end = end,
                                           .divisor = rule.divisor,
                                           .softcap = rule.softcap};
            if (parted) {
                const size_t rows = part * slice.count * desc.head_count;
                task.begin = (first_part + part) * slice.part;
                task.end = task.begin + slice.part;
                task.out = workspace.partial + rows * cache.head_dim + at;
                task.peaks = workspace.peaks + rows + at / cache.head_dim;
                task.sums = workspace.sums + rows + at / cache.head_dim;
            }
            kernel(task);
        }
    });
    if (slice.part != 0) {
        kernels.attention_merge(attended, workspace.partial, workspace.peaks, workspace.sums, parts,
                                slice.count * desc.head_count, cache.head_dim);
    }
}

} // namespace

uint64_t attention_partial_rows(const ModelDesc& desc, uint64_t context)
{
    const uint64_t part = part_positions(desc, context);
    return part >= context ? 0 : (context + part - 1) / part * kFewQueries * desc.head_count;
}

void attend(const Ops& ops, const ModelDesc& desc, const KvCache& cache, const Workspace& workspace, size_t layer,
            size_t position, size_t batch, const AttentionRule& rule)
{
    if (batch > kFewQueries && workspace.order == SumOrder::fastest) {
        attend_slice(ops, desc, cache, workspace, layer, position, {0, batch, 0}, rule);
        return;
    }
    // A query within the first part has it alone, whatever goes with it; later ones put parts together.
    const size_t part = part_positions(desc, cache.context);
    for (size_t start = 0; start < batch;) {
        const size_t at = position + start;
        const size_t most = std::min<size_t>(batch - start, kFewQueries);
        const Slice slice = {start, at < part ? std::min(most, part - at) : most, at < part ? 0 : part};
        attend_slice(ops, desc, cache, workspace, layer, position, slice, rule);
        start += slice.count;
    }
}

} // namespace llmk
