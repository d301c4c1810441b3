// SPDX-License-Identifier: MIT
#include "model/loader.h"

#include "format/formats.h"
#include "model/attention.h"
#include "model/panels.h"
#include "model/weight_checks.h"

#include <algorithm>

namespace llmk {

namespace {

/// Whether there are matrices of floats by which inputs are multiplied.
bool has_float_products(const ModelDesc& desc)
{
    return std::any_of(desc.tensors.begin(), desc.tensors.end(), [&](const TensorDesc& tensor) {
        const bool is_table =
            tensor.role == TensorRole::position_embd || (tensor.role == TensorRole::token_embd && !desc.tied_head);
        const bool is_float =
            tensor.type == TensorType::f32 || tensor.type == TensorType::f16 || tensor.type == TensorType::bf16;
        return is_float && !is_table && tensor.rows > 1;
    });
}

/// Sizes of what a Workspace points to, in elements; one place for the plan and for the layout.
struct WorkspaceShape {
    uint64_t x, normed, query, hidden, kv, partial_rows, partial, pairs, quantized, scales, input_scales, turned,
        logits;

    WorkspaceShape(const ModelDesc& desc, uint64_t context, uint64_t batch)
    {
        const uint64_t query_dim = desc.head_count * desc.head_dim;
        const uint64_t widest = std::max({desc.embedding_length, query_dim, desc.feed_forward_length});
        x = batch * desc.embedding_length;
        normed = batch * row_stride<float>(desc.embedding_length);
        query = batch * query_dim;
        hidden = batch * row_stride<float>(desc.feed_forward_length);
        kv = batch * desc.head_count_kv * desc.head_dim;
        partial_rows = attention_partial_rows(desc, context);
        partial = partial_rows * desc.head_dim;
        const uint64_t rope_tables = desc.sliding_window.value_or(0) == 0 ? 1 : 2;
        pairs = rope_tables * batch * (desc.head_dim / 2);
        const bool panels = wants_panels(desc);
        const uint64_t quantized_row = panels ? row_stride<int8_t>(widest) : widest;
        const uint64_t rounded_bytes = panels ? djiblas::Bf16Input::values(batch, widest) * sizeof(uint16_t) : 0;
        quantized = desc.group_size == 0 && !panels ? 0 : std::max(batch * quantized_row, rounded_bytes);
        input_scales = panels ? batch * (quantized_row / djiblas::kInputBlock) : 0;
        turned = has_float_products(desc) ? djiblas::TurnedInput::floats(batch, widest) : 0;
        scales = desc.group_size == 0 ? 0 : batch * (widest / desc.group_size);
        logits = std::min<uint64_t>(batch, kLogitRows) * desc.vocab_size;
    }
    uint64_t bytes() const
    {
        const uint64_t floats = x + normed + 2 * query + 2 * hidden + 2 * kv + partial + 2 * partial_rows + 2 * pairs +
                                scales + turned + logits;
        return floats * sizeof(float) + input_scales * sizeof(djiblas::InputScale) + quantized + 20 * Arena::kAlignment;
    }
};

/// Working memory that a turn allocates and gives back: the tokenizer's, the sampler's (up to 16 bytes a token of the
/// vocabulary, with top-k and loop escape), the prompt's ids.
uint64_t scratch_bytes(const ModelDesc& desc)
{
    // Parts of a prompt are compared with the whole: the ids of twice a template, up to four a byte.
    return LoadedTokenizer::encode_bytes(desc.vocabulary, kMaxPromptBytes + kTemplateBytes) +
           2 * 4 * kTemplateBytes * sizeof(Token) + desc.vocab_size * 16 + 16 * Arena::kAlignment;
}

/// Bytes of WEIGHTS beside the file itself: vocabulary and what the architecture computes.
Result<uint64_t> extra_bytes(const InspectedModel& candidate)
{
    const Architecture* architecture = TRY(find_architecture(candidate.desc.architecture));
    return LoadedTokenizer::bytes(candidate.desc.vocabulary) + architecture->bind_bytes(candidate.desc) +
           4 * Arena::kAlignment;
}

/// In the order in which they are reserved: what must lie in one piece first, then the weights, which can be split.
bool fits(Platform& platform, const InspectedModel& candidate, const MemoryPlan& plan, uint64_t extra)
{
    FreeMemory memory(platform);
    return memory.take_pages(plan.kv) && memory.take_pages(plan.acts) && memory.take_pages(plan.scratch) &&
           memory.take_extent(extra) && weights_fit(candidate.desc, memory);
}

Error too_many_positions(const ModelDesc& desc, uint64_t context)
{
    return fail(Status::out_of_memory,
                "{}: seq_len is {}: the memory for so many positions is larger than the address space", desc.path,
                context);
}

} // namespace

Result<InspectedModel> inspect_model(Platform& platform, std::string_view path, std::string_view tokenizer)
{
    InspectedModel candidate(TRY(describe_model(platform, path)));
    ModelDesc& desc = candidate.desc;
    auto architecture = find_architecture(desc.architecture);
    if (!architecture.ok()) {
        return fail(architecture.error().status, "{}: {}", path, architecture.error().message);
    }
    TRY(architecture.value()->check(desc));
    desc.vocabulary = TRY(find_vocabulary(platform, desc, tokenizer));
    return candidate;
}

Result<MemoryPlan> plan_session(const ModelDesc& desc, uint64_t context, KvType kv_type)
{
    MemoryPlan plan;
    plan.context = context == 0 ? desc.context_length : std::min(context, desc.context_length);
    plan.batch = std::min<uint64_t>({plan.context, kPrefillBatch, djiblas::kMaxBatch});
    plan.kv_type = usable_kv_type(desc, kv_type);
    const CheckedSize kv = KvCache::bytes(desc, plan.kv_type, plan.context) + CheckedSize(plan.context) * sizeof(Token);
    if (!kv.valid() || kv.value() > (uint64_t{1} << 60)) {
        return too_many_positions(desc, plan.context);
    }
    // The workspace's sizes are sums of products of a few header fields, each checked against the file's size, and of
    // the batch.
    const CheckedSize acts = CheckedSize(plan.batch) * desc.feed_forward_length * (8 * sizeof(float)) +
                             CheckedSize(attention_partial_rows(desc, plan.context)) * desc.head_dim * sizeof(float);
    if (!acts.valid() || acts.value() > (uint64_t{1} << 60)) {
        return too_many_positions(desc, plan.context);
    }
    plan.kv = Arena::extent_bytes(kv.value() + 3 * Arena::kAlignment);
    plan.acts = Arena::extent_bytes(WorkspaceShape(desc, plan.context, plan.batch).bytes());
    plan.scratch = Arena::extent_bytes(scratch_bytes(desc));
    return plan;
}

Result<MemoryPlan> plan_memory(const InspectedModel& candidate, uint64_t context, KvType kv_type)
{
    MemoryPlan plan = TRY(plan_session(candidate.desc, context, kv_type));
    plan.weights = Arena::extent_bytes(tensor_bytes(candidate.desc)) + Arena::extent_bytes(TRY(extra_bytes(candidate)));
    return plan;
}

Result<MemoryPlan> fit_memory(Platform& platform, const InspectedModel& candidate, uint64_t context, KvType kv_type)
{
    const ModelDesc& desc = candidate.desc;
    const uint64_t extra = TRY(extra_bytes(candidate));
    const uint64_t wanted = context == 0 ? desc.context_length : std::min(context, desc.context_length);
    const uint64_t smallest = std::min(wanted, kSmallestContext);
    const auto fits_with = [&](uint64_t positions) {
        auto plan = plan_memory(candidate, positions, kv_type);
        return plan.ok() && fits(platform, candidate, plan.value(), extra);
    };
    if (fits_with(wanted)) {
        return plan_memory(candidate, wanted, kv_type);
    }
    if (!fits_with(smallest)) {
        const MemoryPlan least = TRY(plan_memory(candidate, smallest, kv_type));
        const FreeMemory memory(platform);
        const uint64_t around = least.total() - least.weights + 4 * FreeMemory::kAlignmentSlack;
        const uint64_t would_fit = memory.total() > around ? memory.total() - around : 0;
        return fail(Status::out_of_memory,
                    "{}: needs {} bytes of memory ({}) even with a context of {}, but {} bytes ({}) are free; a model "
                    "file of about {} would fit",
                    desc.path, least.total(), human_bytes(least.total()), smallest, memory.total(),
                    human_bytes(memory.total()), human_bytes(would_fit));
    }
    uint64_t good = smallest;
    uint64_t bad = wanted;
    while (bad - good > 1) {
        const uint64_t middle = good + (bad - good) / 2;
        (fits_with(middle) ? good : bad) = middle;
    }
    return plan_memory(candidate, good, kv_type);
}

Result<void> load_weights(Platform& platform, Zones& zones, Model& model, const MemoryPlan& plan,
                          const LoadObserver& observer)
{
    Arena& weights = zones[ZoneId::weights];
    const auto load = [&]() -> Result<void> {
        const uint64_t extra = Arena::usable_bytes(plan.weights - Arena::extent_bytes(tensor_bytes(model.desc)));
        const uint64_t started = platform.ticks();
        const WeightsRead read = TRY(read_weights(platform, weights, model.desc, extra, observer));
        model.read_ticks = platform.ticks() - started;
        model.read_bytes = read.bytes;
        model.summed_tensors = read.summed ? model.desc.tensors.size() : 0;
        TRY(weights.add_extent(platform, extra));
        TRY(model.vocabulary.load(platform, model.desc.vocabulary, weights));
        model.tokenizer = model.vocabulary.get();
        model.architecture = TRY(find_architecture(model.desc.architecture));
        TRY(model.architecture->bind(model, weights));
        model.extra_checksum = extra_checksum(weights);
        return success();
    };
    auto result = load();
    if (!result.ok()) {
        weights.release(platform);
        return result;
    }
    weights.freeze();
    return success();
}

Result<Workspace> make_workspace(Platform& platform, Arena& acts, const ModelDesc& desc, const MemoryPlan& plan)
{
    const WorkspaceShape shape(desc, plan.context, plan.batch);
    TRY(acts.add_extent(platform, shape.bytes()));
    Workspace workspace;
    workspace.batch = plan.batch;
    workspace.x = TRY(acts.alloc_array<float>(shape.x));
    workspace.normed = TRY(acts.alloc_array<float>(shape.normed));
    workspace.query = TRY(acts.alloc_array<float>(shape.query));
    workspace.attended = TRY(acts.alloc_array<float>(shape.query));
    workspace.gate = TRY(acts.alloc_array<float>(shape.hidden));
    workspace.up = TRY(acts.alloc_array<float>(shape.hidden));
    workspace.key = TRY(acts.alloc_array<float>(shape.kv));
    workspace.value = TRY(acts.alloc_array<float>(shape.kv));
    workspace.partial_rows = shape.partial_rows;
    workspace.partial = TRY(acts.alloc_array<float>(shape.partial));
    workspace.peaks = TRY(acts.alloc_array<float>(shape.partial_rows));
    workspace.sums = TRY(acts.alloc_array<float>(shape.partial_rows));
    workspace.rope_cos = TRY(acts.alloc_array<float>(shape.pairs));
    workspace.rope_sin = TRY(acts.alloc_array<float>(shape.pairs));
    workspace.logit_rows = std::min<size_t>(plan.batch, kLogitRows);
    workspace.logits = TRY(acts.alloc_array<float>(shape.logits));
    if (shape.quantized != 0) {
        workspace.quantized = TRY(acts.alloc_array<int8_t>(shape.quantized));
    }
    if (shape.input_scales != 0) {
        workspace.input_scales = TRY(acts.alloc_array<djiblas::InputScale>(shape.input_scales));
    }
    if (shape.turned != 0) {
        workspace.turned = TRY(acts.alloc_array<float>(shape.turned));
    }
    if (desc.group_size != 0) {
        workspace.quantized_scales = TRY(acts.alloc_array<float>(shape.scales));
    }
    return workspace;
}

} // namespace llmk
