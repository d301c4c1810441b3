// SPDX-License-Identifier: MIT
//
// Keys of layer 0 out of a session's KV zone. They depend on a token and its position alone, so after a drop they must
// be those of a fresh run.
#pragma once

#include "engine/engine.h"

#include <vector>

namespace llmk {

/// (heads, positions, head_dim)
inline std::vector<float> first_keys(Engine& engine, size_t positions)
{
    const MemoryPlan& plan = engine.session().plan();
    KvCache cache = KvCache::shaped(engine.model().desc, plan.kv_type, plan.context);
    // The first allocation in KV is the keys.
    cache.keys = engine.zones()[ZoneId::kv].extents()[0].base + Arena::kFrontBytes;
    std::vector<float> keys(cache.heads * positions * cache.head_dim);
    for (size_t head = 0; head < cache.heads; ++head) {
        for (size_t t = 0; t < positions; ++t) {
            cache.unpack(engine.kernels().attention, keys.data() + (head * positions + t) * cache.head_dim,
                         cache.key(0, head) + t * cache.row_bytes);
        }
    }
    return keys;
}

} // namespace llmk
