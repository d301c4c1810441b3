// SPDX-License-Identifier: MIT
#include "model/panels.h"

#include "base/checked.h"

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

/// Of about this size, so that nobody waits long for the last.
constexpr uint64_t kPartBytes = 256 * 1024;

uint64_t panels_in_part(const TensorDesc& tensor) { return std::max<uint64_t>(kPartBytes / panel_bytes(tensor), 1); }

uint64_t part_count(const TensorDesc& tensor)
{
    const uint64_t panels = tensor.rows / kPanelRows;
    return (panels + panels_in_part(tensor) - 1) / panels_in_part(tensor);
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

Repacker::~Repacker()
{
    if (m_buffers != nullptr) {
        m_platform.pages_free(m_buffers, m_buffers_bytes);
    }
}

Result<void> Repacker::prepare(size_t processors)
{
    for (const TensorDesc& tensor : m_desc.tensors) {
        m_each = wants_panels(m_desc, tensor) ? std::max(m_each, align_up(panel_bytes(tensor), 64)) : m_each;
    }
    if (m_each == 0) {
        return success();
    }
    for (size_t count = std::min<size_t>(processors, 64); count > 0; count /= 2) {
        m_buffers_bytes = align_up(m_each * count, 4096);
        auto pages = m_platform.pages_alloc(m_buffers_bytes);
        if (pages.ok()) {
            m_buffers = static_cast<uint8_t*>(pages.value());
            m_free = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
            return success();
        }
    }
    return fail(Status::out_of_memory, "{}: no {} of memory are left to repack the weights in", m_desc.path,
                human_bytes(m_each));
}

size_t Repacker::take(std::span<TensorDesc> tensors)
{
    m_tensors = tensors;
    uint64_t parts = 0;
    for (const TensorDesc& tensor : tensors) {
        parts += wants_panels(m_desc, tensor) ? part_count(tensor) : 0;
    }
    return parts;
}

/// One for each that works: with fewer, where memory was short, the rest waits.
size_t Repacker::take_buffer()
{
    for (;;) {
        uint64_t free = m_free.load(std::memory_order_relaxed);
        if (free != 0 && m_free.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire)) {
            return static_cast<size_t>(__builtin_ctzll(free));
        }
        __builtin_ia32_pause();
    }
}

void Repacker::do_part(void* repacker, size_t part)
{
    Repacker& self = *static_cast<Repacker*>(repacker);
    size_t index = 0;
    for (;; ++index) {
        const TensorDesc& tensor = self.m_tensors[index];
        const uint64_t count = wants_panels(self.m_desc, tensor) ? part_count(tensor) : 0;
        if (part < count) {
            break;
        }
        part -= count;
    }
    const TensorDesc& tensor = self.m_tensors[index];
    const uint64_t bytes = panel_bytes(tensor);
    const uint64_t first = part * panels_in_part(tensor);
    const uint64_t end = std::min(first + panels_in_part(tensor), tensor.rows / kPanelRows);
    const djiblas::PanelType type = panel_type(tensor.type);
    const size_t buffer = self.take_buffer();
    uint8_t* const copy = self.m_buffers + buffer * self.m_each;
    for (uint64_t i = first; i < end; ++i) {
        // WEIGHTS is written until it is frozen; TensorDesc shows it to those who only read.
        uint8_t* const panel = const_cast<uint8_t*>(tensor.data) + i * bytes;
        __builtin_memcpy(copy, panel, bytes);
        djiblas::pack_panel(type, panel, copy, tensor.cols / djiblas::panel_fields(type).values);
    }
    self.m_free.fetch_or(uint64_t{1} << buffer, std::memory_order_release);
}

void Repacker::mark() const
{
    for (TensorDesc& tensor : m_tensors) {
        tensor.panels = wants_panels(m_desc, tensor);
    }
}

} // namespace llmk
