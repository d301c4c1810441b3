// SPDX-License-Identifier: MIT
//
// Weights on their way from a model's files into WEIGHTS: what is read, in how many pieces of memory, and the reading.
// A model is one file or several (format/gguf_shards.h), and firmware memory is fragmented: a piece holds tensors of
// one file or more, as they lie there; a tensor is never cut. What no tensor needs stays in the file.
#pragma once

#include "format/model_desc.h"
#include "model/free_memory.h"

namespace llmk {

/// Read at a time. Firmware reads 64 KiB pieces three to four times slower than large ones; some fails beyond a few
/// MiB.
constexpr uint64_t kReadPieceBytes = 4u << 20;

/// Told of the bytes read so far; false cancels the load.
struct LoadObserver {
    void* context = nullptr;
    bool (*progress)(void* context, uint64_t done_bytes, uint64_t total_bytes) = nullptr;
};

/// Bytes of WEIGHTS that the tensors take when they lie in one piece, guards not included.
uint64_t tensor_bytes(const ModelDesc& desc);

/// Takes pieces for the tensors off `memory`; false when they do not fit.
bool weights_fit(const ModelDesc& desc, FreeMemory& memory);

struct WeightsRead {
    uint64_t bytes = 0;
    bool summed = false; ///< else LateSums does it
};

/// Takes extents of WEIGHTS and reads the tensors into them; each TensorDesc::data then says where it lies. Leaves room
/// for one more extent of `extra` usable bytes. On failure extents may have been taken. Tensors are repacked
/// (TensorDesc::panels) and summed (TensorDesc::checksum) meanwhile, or the sums are left to LateSums.
Result<WeightsRead> read_weights(Platform& platform, Arena& weights, ModelDesc& desc, uint64_t extra,
                                 const LoadObserver& observer);

} // namespace llmk
