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
constexpr uint64_t kPartPositions = 256;
/// Parts begin at multiples of this: where a kernel's blocks begin.
constexpr uint64_t kPartAlignment = 64;

/// Positions of a tile.
uint64_t tile_positions(const ModelDesc& desc)
{
    return std::max<uint64_t>(1, kTileRows / (desc.head_count / desc.head_count_kv));
}

/// Parts of a context of which `span` positions are seen, for one tile a head.
uint64_t part_count(const ModelDesc& desc, uint64_t span)
{
    const uint64_t wanted = (kWantedJobs + desc.head_count_kv - 1) / desc.head_count_kv;
    return std::max<uint64_t>(1, std::min(wanted, span / kPartPositions));
}

} // namespace

uint64_t attention_partial_rows(const ModelDesc& desc, uint64_t context)
{
    const uint64_t parts = part_count(desc, context);
    return parts == 1 ? 0 : parts * std::min(tile_positions(desc), context) * desc.head_count;
}

void attend(const Ops& ops, const ModelDesc& desc, const KvCache& cache, const Workspace& workspace, size_t layer,
            size_t position, size_t batch, const AttentionRule& rule)
{
    const KernelSet& kernels = ops.attention_kernels();
    const djiblas::Attention kernel = cache.attention(kernels);
    const size_t heads = desc.head_count;
    const size_t group = heads / cache.heads;
    const size_t row = heads * cache.head_dim;
    const size_t tile = tile_positions(desc);
    const size_t tiles = (batch + tile - 1) / tile;
    const size_t first = position + 1 > rule.window ? position + 1 - rule.window : 0;
    const size_t span = position + batch - first;
    const size_t parts = tiles == 1 ? part_count(desc, span) : 1;
    LLMK_ASSERT(parts == 1 || parts * batch * heads <= workspace.partial_rows);
    const auto part_begin = [&](size_t part) {
        return part == 0 ? 0 : (first + span * part / parts) / kPartAlignment * kPartAlignment;
    };

    const size_t jobs = cache.heads * tiles * parts;
    const size_t shares = ops.parts_for(batch * heads * span * cache.head_dim * 2, jobs);
    ops.parallel(shares, [&](size_t share) {
        // Every shares-th job: of a long prompt, later tiles see more.
        for (size_t job = share; job < jobs; job += shares) {
            const size_t head = job % cache.heads;
            const size_t part = job / cache.heads % parts;
            const size_t start = job / cache.heads / parts * tile;
            const size_t at = start * row + head * group * cache.head_dim;
            djiblas::AttentionTask task = {.query = workspace.query + at,
                                           .out = workspace.attended + at,
                                           .stride = row,
                                           .count = std::min(tile, batch - start),
                                           .heads = group,
                                           .head_dim = cache.head_dim,
                                           .keys = cache.key(layer, head),
                                           .values = cache.value(layer, head),
                                           .position = position + start,
                                           .window = rule.window,
                                           .begin = part_begin(part),
                                           .end = part + 1 == parts ? position + batch : part_begin(part + 1),
                                           .divisor = rule.divisor,
                                           .softcap = rule.softcap};
            if (parts > 1) {
                const size_t rows = part * batch * heads;
                task.out = workspace.partial + rows * cache.head_dim + at;
                task.peaks = workspace.peaks + rows + head * group;
                task.sums = workspace.sums + rows + head * group;
            }
            kernel(task);
        }
    });
    if (parts > 1) {
        kernels.attention_merge(workspace.attended, workspace.partial, workspace.peaks, workspace.sums, parts,
                                batch * heads, cache.head_dim);
    }
}

} // namespace llmk
