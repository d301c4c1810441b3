// SPDX-License-Identifier: MIT
#include "model/panels.h"

#include <algorithm>

namespace llmk {

namespace {

using djiblas::kPanelRows;

static_assert(panel_type(TensorType::q8_0) == djiblas::PanelType::q8_0);
static_assert(panel_type(TensorType::q6_k) == djiblas::PanelType::q6_k);
static_assert(panel_type(TensorType::iq4_xs) == djiblas::PanelType::iq4_xs);
static_assert(static_cast<size_t>(panel_type(TensorType::iq4_xs)) + 1 == djiblas::kPanelTypes);

uint64_t panel_bytes(const TensorDesc& tensor)
{
    const djiblas::PanelFields& fields = djiblas::panel_fields(panel_type(tensor.type));
    return tensor.cols / fields.values * fields.bytes * kPanelRows;
}

/// A buffer of one panel for each that works at a time.
class Buffers {
public:
    Buffers(Platform& platform, uint64_t each, size_t wanted) : m_platform(platform), m_each(each)
    {
        for (m_count = wanted; m_count > 0; m_count /= 2) {
            auto pages = platform.pages_alloc(bytes());
            if (pages.ok()) {
                m_data = static_cast<uint8_t*>(pages.value());
                return;
            }
        }
    }
    ~Buffers()
    {
        if (m_data != nullptr) {
            m_platform.pages_free(m_data, bytes());
        }
    }
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;

    size_t count() const { return m_count; }
    uint8_t* operator[](size_t index) const { return m_data + index * m_each; }

private:
    uint64_t bytes() const { return (m_each * m_count + 4095) / 4096 * 4096; }

    Platform& m_platform;
    uint64_t m_each;
    size_t m_count = 0;
    uint8_t* m_data = nullptr;
};

struct Job {
    const TensorDesc* tensor;
    uint8_t* data;
    const Buffers* buffers;
    uint64_t panels;
    uint64_t bytes; ///< of a panel
};

void repack_part(void* context, size_t part)
{
    const Job& job = *static_cast<const Job*>(context);
    const size_t parts = job.buffers->count();
    uint8_t* const copy = (*job.buffers)[part];
    const djiblas::PanelType type = panel_type(job.tensor->type);
    for (uint64_t i = job.panels * part / parts; i < job.panels * (part + 1) / parts; ++i) {
        uint8_t* const panel = job.data + i * job.bytes;
        __builtin_memcpy(copy, panel, job.bytes);
        djiblas::pack_panel(type, panel, copy, job.tensor->cols / djiblas::panel_fields(type).values);
    }
}

} // namespace

bool wants_panels(const ModelDesc& desc, const TensorDesc& tensor)
{
    if (!has_panels(tensor.type) || tensor.rows < kPanelRows) {
        return false;
    }
    switch (tensor.role) {
    case TensorRole::token_embd: // else it is read by rows only
        return desc.tied_head;
    case TensorRole::position_embd:
        return false;
    case TensorRole::attn_qkv:
        return desc.head_count * desc.head_dim % kPanelRows == 0 &&
               desc.head_count_kv * desc.head_dim % kPanelRows == 0;
    case TensorRole::ffn_up: // of some architectures the gate and it in one
        return tensor.rows == desc.feed_forward_length || desc.feed_forward_length % kPanelRows == 0;
    default:
        return !tensor_role_info(tensor.role).is_vector;
    }
}

bool wants_panels(const ModelDesc& desc)
{
    return std::any_of(desc.tensors.begin(), desc.tensors.end(),
                       [&](const TensorDesc& tensor) { return wants_panels(desc, tensor); });
}

Result<void> repack_weights(Platform& platform, ModelDesc& desc)
{
    uint64_t largest = 0;
    for (const TensorDesc& tensor : desc.tensors) {
        largest = wants_panels(desc, tensor) ? std::max(largest, panel_bytes(tensor)) : largest;
    }
    if (largest == 0) {
        return success();
    }
    const Buffers buffers(platform, largest, platform.processor_count());
    if (buffers.count() == 0) {
        return fail(Status::out_of_memory, "{}: no {} of memory are left to repack the weights in", desc.path,
                    human_bytes(largest));
    }
    for (TensorDesc& tensor : desc.tensors) {
        if (wants_panels(desc, tensor)) {
            // WEIGHTS is written until it is frozen; TensorDesc shows it to those who only read.
            Job job{&tensor, const_cast<uint8_t*>(tensor.data), &buffers, tensor.rows / kPanelRows,
                    panel_bytes(tensor)};
            platform.parallel(repack_part, &job, buffers.count());
            tensor.panels = true;
        }
    }
    return success();
}

} // namespace llmk
