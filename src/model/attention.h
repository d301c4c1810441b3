// SPDX-License-Identifier: MIT
//
// Attention of a batch over the cache, cut into jobs for the processors. How it is cut depends on shapes and positions
// only, so that the result's bits do not depend on how many processors there are.
#pragma once

#include "model/ops.h"

namespace llmk {

/// What differs from layer to layer, and from model to model.
struct AttentionRule {
    size_t window; ///< positions that a query sees, its own included
    float divisor; ///< of query times key
    float softcap; ///< of that; 0: none
};

/// Rows of Workspace::partial that a context of so many positions needs; 0 where it is never parted.
uint64_t attention_partial_rows(const ModelDesc& desc, uint64_t context);

/// workspace.attended = attention of workspace.query, `batch` positions from `position` on, over the keys and values of
/// `layer`, which are in the cache up to the last of them.
void attend(const Ops& ops, const ModelDesc& desc, const KvCache& cache, const Workspace& workspace, size_t layer,
            size_t position, size_t batch, const AttentionRule& rule);

} // namespace llmk
