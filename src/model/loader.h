// SPDX-License-Identifier: MIT
//
// From a file to a model that can run: finds the vocabulary, computes every arena's size before anything is reserved,
// shrinks the context when that is what does not fit, refuses with the numbers when the weights do not, and reads.
#pragma once

#include "model/model.h"
#include "model/weights.h"

namespace llmk {

/// A described model that its architecture can run, its vocabulary found: what the menu shows and load_weights takes.
struct InspectedModel {
    explicit InspectedModel(ModelDesc&& description) : desc(std::move(description)) {}
    ModelDesc desc;
};

/// Reads headers and the vocabulary, but no weights. `tokenizer` overrides the search beside the model; may be empty.
Result<InspectedModel> inspect_model(Platform& platform, std::string_view path, std::string_view tokenizer);

/// Bytes of each arena, guards included.
struct MemoryPlan {
    uint64_t weights = 0;
    uint64_t kv = 0;
    uint64_t acts = 0;
    uint64_t scratch = 0;
    uint64_t context = 0;         ///< positions
    uint64_t batch = 0;           ///< rows of a prefill batch
    KvType kv_type = KvType::f16; ///< that the model's heads allow
    uint64_t total() const { return weights + kv + acts + scratch; }
};

/// Longest prompt in bytes that SCRATCH is sized for.
constexpr uint64_t kMaxPromptBytes = 64 * 1024;
/// What a chat template puts around it at most: system prompt, markers.
constexpr uint64_t kTemplateBytes = 4 * 1024;
/// Rows of a prefill batch at most.
constexpr uint64_t kPrefillBatch = 128;
/// The context is not shrunk below this to make a model fit (or below its own, if that is smaller).
constexpr uint64_t kSmallestContext = 64;

/// `context` 0 is the model's own; `kv_type` is F16 where the model's heads do not allow it. Status::out_of_memory when
/// the sizes overflow. plan_session leaves `weights` 0.
Result<MemoryPlan> plan_session(const ModelDesc& desc, uint64_t context, KvType kv_type = KvType::f16);
Result<MemoryPlan> plan_memory(const InspectedModel& candidate, uint64_t context, KvType kv_type = KvType::f16);

/// What fits into the memory there is: the wanted context, or the largest that does. Status::out_of_memory says the
/// bytes needed, the bytes there, and what would fit.
Result<MemoryPlan> fit_memory(Platform& platform, const InspectedModel& candidate, uint64_t context,
                              KvType kv_type = KvType::f16);

/// Reserves WEIGHTS, reads the file, loads the vocabulary, binds the architecture, freezes WEIGHTS. On failure the
/// arenas hold nothing of it. `model` was made of the candidate's description.
Result<void> load_weights(Platform& platform, Zones& zones, Model& model, const MemoryPlan& plan,
                          const LoadObserver& observer);

/// Reserves ACTS for a plan and lays the workspace out in it.
Result<Workspace> make_workspace(Platform& platform, Arena& acts, const ModelDesc& desc, const MemoryPlan& plan);

} // namespace llmk
