// SPDX-License-Identifier: MIT
#include "model/loader.h"

#include "format/formats.h"

#include <algorithm>

namespace llmk {

namespace {

/// Firmware reads 64 KiB pieces three to four times slower than large ones; some fails beyond a few MiB.
constexpr uint64_t kReadBytes = 4u << 20;
/// A 2 MiB-aligned allocation can cost up to this on top of its size.
constexpr uint64_t kAlignmentSlack = 2u << 20;
constexpr size_t kMaxFreeExtents = 64;

/// Sizes of what a Workspace points to, in elements; one place for the plan and for the layout.
struct WorkspaceShape {
    uint64_t x, query, hidden, scores, pairs, quantized, scales, logits;

    WorkspaceShape(const ModelDesc& desc, uint64_t context, uint64_t batch)
    {
        const uint64_t query_dim = desc.head_count * desc.head_dim;
        const uint64_t widest = std::max({desc.embedding_length, query_dim, desc.feed_forward_length});
        x = batch * desc.embedding_length;
        query = batch * query_dim;
        hidden = batch * desc.feed_forward_length;
        scores = desc.head_count * context;
        pairs = batch * (desc.head_dim / 2);
        quantized = desc.group_size == 0 ? 0 : batch * widest;
        scales = desc.group_size == 0 ? 0 : batch * (widest / desc.group_size);
        logits = desc.vocab_size;
    }
    uint64_t bytes() const
    {
        const uint64_t floats = 2 * x + 2 * query + 2 * hidden + scores + 2 * pairs + scales + logits;
        return floats * sizeof(float) + quantized + 16 * Arena::kAlignment;
    }
};

/// Working memory that a turn allocates and gives back: the tokenizer's, the sampler's, the prompt's ids.
uint64_t scratch_bytes(const ModelDesc& desc)
{
    // Parts of a prompt are compared with the whole: the ids of twice a template, up to four a byte.
    return LoadedTokenizer::encode_bytes(desc.vocabulary, kMaxPromptBytes + kTemplateBytes) +
           2 * 4 * kTemplateBytes * sizeof(Token) + desc.vocab_size * 16 + 16 * Arena::kAlignment;
}

/// The largest piece of a file that WEIGHTS is cut into where memory is in pieces: ranges of whole tensors.
struct RangePlan {
    uint64_t start = 0;
    uint64_t end = 0;
};

/// Free extents as the planner fills them, the largest first.
class FreeMemory {
public:
    explicit FreeMemory(Platform& platform) { m_count = platform.memory_extents(m_sizes); }

    uint64_t total() const
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < m_count; ++i) {
            sum += m_sizes[i];
        }
        return sum;
    }
    uint64_t largest() const { return m_count == 0 ? 0 : *std::max_element(m_sizes, m_sizes + m_count); }
    /// Takes `bytes` from the smallest extent that holds them, so that the large ones stay whole.
    bool take(uint64_t bytes)
    {
        size_t best = m_count;
        for (size_t i = 0; i < m_count; ++i) {
            if (m_sizes[i] >= bytes && (best == m_count || m_sizes[i] < m_sizes[best])) {
                best = i;
            }
        }
        if (best == m_count) {
            return false;
        }
        m_sizes[best] -= bytes;
        return true;
    }

private:
    uint64_t m_sizes[kMaxFreeExtents];
    size_t m_count = 0;
};

/// What an allocation of so many bytes of pages can take off a free extent.
uint64_t aligned(uint64_t page_bytes)
{
    return page_bytes >= kAlignmentSlack ? page_bytes + kAlignmentSlack : page_bytes;
}

uint64_t with_slack(uint64_t usable_bytes) { return aligned(Arena::extent_bytes(usable_bytes)); }

/// Bytes of WEIGHTS beside the file itself: vocabulary and what the architecture computes.
Result<uint64_t> extra_bytes(const InspectedModel& candidate)
{
    const Architecture* architecture = TRY(find_architecture(candidate.desc.architecture));
    return LoadedTokenizer::bytes(candidate.desc.vocabulary) + architecture->bind_bytes(candidate.desc) +
           4 * Arena::kAlignment;
}

/// Bytes of the file that are wanted in memory: the weights, and in a llama2.c file what stands around them.
uint64_t weights_file_bytes(const ModelDesc& desc) { return desc.file_size_bytes - desc.weights_start_bytes; }

/// Cuts the file into ranges that fit the free extents: one when the whole fits, else as many tensors as fit at a time.
/// Returns how many, 0 when it cannot be done.
size_t plan_ranges(const ModelDesc& desc, FreeMemory& memory, std::span<RangePlan> ranges)
{
    if (memory.take(with_slack(weights_file_bytes(desc)))) {
        ranges[0] = {desc.weights_start_bytes, desc.file_size_bytes};
        return 1;
    }
    size_t count = 0;
    size_t next = 0;
    while (next < desc.tensors.size()) {
        const uint64_t room = memory.largest();
        const uint64_t start = desc.tensors[next].offset_bytes;
        uint64_t end = start;
        while (next < desc.tensors.size()) {
            const TensorDesc& tensor = desc.tensors[next];
            // 64 bytes: the range keeps the file's alignment by a lead of that much at most.
            if (with_slack(tensor.offset_bytes + tensor.size_bytes - start + Arena::kAlignment) > room) {
                break;
            }
            end = tensor.offset_bytes + tensor.size_bytes;
            ++next;
        }
        if (end == start || count == ranges.size() || !memory.take(with_slack(end - start + Arena::kAlignment))) {
            return 0;
        }
        ranges[count++] = {start, end};
    }
    return count;
}

/// One range less than an arena's extents: the last is for the vocabulary.
constexpr size_t kMaxRanges = Arena::kMaxExtents - 1;

/// In the order in which they are reserved: what must lie in one piece first, then the weights, which can be split.
bool fits(Platform& platform, const InspectedModel& candidate, const MemoryPlan& plan, uint64_t extra)
{
    FreeMemory memory(platform);
    RangePlan ranges[kMaxRanges];
    return memory.take(aligned(plan.kv)) && memory.take(aligned(plan.acts)) && memory.take(aligned(plan.scratch)) &&
           memory.take(with_slack(extra)) && plan_ranges(candidate.desc, memory, ranges) > 0;
}

Result<void> read_range(Platform& platform, PlatformFile* file, const Model& model, const WeightRange& range,
                        uint64_t& done, uint64_t total, const LoadObserver& observer)
{
    for (uint64_t at = range.start_bytes; at < range.end_bytes;) {
        const uint64_t wanted = std::min(kReadBytes, range.end_bytes - at);
        const size_t got = TRY(platform.file_read_at(file, at, range.data + (at - range.start_bytes), wanted));
        if (got != wanted) {
            return fail(Status::io_error,
                        "{}: reading stopped at byte {} of {}; the stick may be damaged or was pulled", model.desc.path,
                        at + got, model.desc.file_size_bytes);
        }
        at += wanted;
        done += wanted;
        if (observer.progress != nullptr && !observer.progress(observer.context, done, total)) {
            return fail(Status::cancelled, "{}: loading was cancelled", model.desc.path);
        }
    }
    return success();
}

/// Leaves room for one more extent of `extra` usable bytes.
Result<void> read_weights(Platform& platform, Arena& weights, Model& model, uint64_t extra,
                          const LoadObserver& observer)
{
    FreeMemory memory(platform);
    RangePlan plans[kMaxRanges];
    const size_t count = memory.take(with_slack(extra)) ? plan_ranges(model.desc, memory, plans) : 0;
    if (count == 0) {
        return fail(Status::out_of_memory, "{}: {} of weights do not fit in the {} that are free", model.desc.path,
                    human_bytes(weights_file_bytes(model.desc)), human_bytes(memory.total()));
    }
    uint64_t total = 0;
    for (size_t i = 0; i < count; ++i) {
        // The lead keeps offsets modulo 64 as they are in the file.
        const uint64_t lead = plans[i].start % Arena::kAlignment;
        const uint64_t bytes = lead + plans[i].end - plans[i].start;
        TRY(weights.add_extent(platform, bytes));
        auto* data = static_cast<uint8_t*>(TRY(weights.alloc(bytes)));
        model.ranges[i] = {plans[i].start, plans[i].end, data + lead};
        model.range_count = i + 1;
        total += plans[i].end - plans[i].start;
    }
    PlatformFile* file = TRY(platform.file_open(model.desc.path, OpenMode::read));
    uint64_t done = 0;
    Result<void> result = success();
    for (size_t i = 0; i < count && result.ok(); ++i) {
        result = read_range(platform, file, model, model.ranges[i], done, total, observer);
    }
    platform.file_close(file);
    return result;
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

Result<MemoryPlan> plan_session(const ModelDesc& desc, uint64_t context)
{
    MemoryPlan plan;
    plan.context = context == 0 ? desc.context_length : std::min(context, desc.context_length);
    plan.batch = std::min<uint64_t>({plan.context, kPrefillBatch, djiblas::kMaxBatch});
    const CheckedSize kv = KvCache::bytes(desc, plan.context) + CheckedSize(plan.context) * sizeof(Token);
    // The workspace's sizes are sums of products of a few header fields, each checked against the file's size; the
    // scores alone multiply with the context.
    const CheckedSize acts = CheckedSize(desc.head_count) * plan.context * sizeof(float) +
                             CheckedSize(plan.batch) * desc.feed_forward_length * (8 * sizeof(float));
    if (!kv.valid() || !acts.valid() || kv.value() > (uint64_t{1} << 60) || acts.value() > (uint64_t{1} << 60)) {
        return fail(Status::out_of_memory,
                    "{}: seq_len is {}: the memory for so many positions is larger than the address space", desc.path,
                    plan.context);
    }
    plan.kv = Arena::extent_bytes(kv.value() + 3 * Arena::kAlignment);
    plan.acts = Arena::extent_bytes(WorkspaceShape(desc, plan.context, plan.batch).bytes());
    plan.scratch = Arena::extent_bytes(scratch_bytes(desc));
    return plan;
}

Result<MemoryPlan> plan_memory(const InspectedModel& candidate, uint64_t context)
{
    MemoryPlan plan = TRY(plan_session(candidate.desc, context));
    plan.weights =
        Arena::extent_bytes(weights_file_bytes(candidate.desc)) + Arena::extent_bytes(TRY(extra_bytes(candidate)));
    return plan;
}

Result<MemoryPlan> fit_memory(Platform& platform, const InspectedModel& candidate, uint64_t context)
{
    const ModelDesc& desc = candidate.desc;
    const uint64_t extra = TRY(extra_bytes(candidate));
    const uint64_t wanted = context == 0 ? desc.context_length : std::min(context, desc.context_length);
    const uint64_t smallest = std::min(wanted, kSmallestContext);
    const auto fits_with = [&](uint64_t positions) {
        auto plan = plan_memory(candidate, positions);
        return plan.ok() && fits(platform, candidate, plan.value(), extra);
    };
    if (fits_with(wanted)) {
        return plan_memory(candidate, wanted);
    }
    if (!fits_with(smallest)) {
        const MemoryPlan least = TRY(plan_memory(candidate, smallest));
        const FreeMemory memory(platform);
        const uint64_t around = least.total() - least.weights + 4 * kAlignmentSlack;
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
    return plan_memory(candidate, good);
}

Result<void> load_weights(Platform& platform, Zones& zones, Model& model, const MemoryPlan& plan,
                          const LoadObserver& observer)
{
    Arena& weights = zones[ZoneId::weights];
    const auto load = [&]() -> Result<void> {
        const uint64_t extra = Arena::usable_bytes(plan.weights - Arena::extent_bytes(weights_file_bytes(model.desc)));
        TRY(read_weights(platform, weights, model, extra, observer));
        TRY(weights.add_extent(platform, extra));
        TRY(model.vocabulary.load(platform, model.desc.vocabulary, weights));
        model.tokenizer = model.vocabulary.get();
        model.architecture = TRY(find_architecture(model.desc.architecture));
        return model.architecture->bind(model, weights);
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
    workspace.normed = TRY(acts.alloc_array<float>(shape.x));
    workspace.query = TRY(acts.alloc_array<float>(shape.query));
    workspace.attended = TRY(acts.alloc_array<float>(shape.query));
    workspace.gate = TRY(acts.alloc_array<float>(shape.hidden));
    workspace.up = TRY(acts.alloc_array<float>(shape.hidden));
    workspace.scores = TRY(acts.alloc_array<float>(shape.scores));
    workspace.rope_cos = TRY(acts.alloc_array<float>(shape.pairs));
    workspace.rope_sin = TRY(acts.alloc_array<float>(shape.pairs));
    workspace.logits = TRY(acts.alloc_array<float>(shape.logits));
    if (desc.group_size != 0) {
        workspace.quantized = TRY(acts.alloc_array<int8_t>(shape.quantized));
        workspace.quantized_scales = TRY(acts.alloc_array<float>(shape.scales));
    }
    return workspace;
}

} // namespace llmk
