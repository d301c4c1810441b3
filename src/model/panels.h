// SPDX-License-Identifier: MIT
//
// Which weights become panels (kernels/panels.h), and the repacking: once, after a tensor is read, in the place where
// it lies. Panels are what products with packed weights read; rows can still be read one by one (Ops::read_row).
#pragma once

#include "cpu/kernels.h"
#include "format/model_desc.h"
#include "llmk/platform.h"

#include <atomic>

namespace llmk {

/// The types from TensorType::q8_0 on have panels.
constexpr bool has_panels(TensorType type) { return type >= TensorType::q8_0; }
constexpr djiblas::PanelType panel_type(TensorType type)
{
    return static_cast<djiblas::PanelType>(static_cast<size_t>(type) - static_cast<size_t>(TensorType::q8_0));
}

/// Whether a tensor is to be repacked: it is of a type that has panels, products read it, and whoever takes a part of
/// its rows takes whole panels.
bool wants_panels(const ModelDesc& desc, const TensorDesc& tensor);

/// Whether any tensor of a model is.
bool wants_panels(const ModelDesc& desc);

/// Repacks tensors that are in memory, as parts of a parallel job: some panels each, in place, through a buffer of one
/// panel for each that works.
class Repacker {
public:
    /// `desc` must outlive it.
    Repacker(Platform& platform, const ModelDesc& desc) : m_platform(platform), m_desc(desc) {}
    ~Repacker();
    Repacker(const Repacker&) = delete;
    Repacker& operator=(const Repacker&) = delete;

    /// Takes the buffers, some hundred KiB a processor, or none when no tensor wants panels. Status::out_of_memory.
    Result<void> prepare(size_t processors);
    /// The next job's tensors; returns its parts, 0 when none of them wants panels.
    size_t take(std::span<TensorDesc> tensors);
    /// A ParallelFunction on a Repacker.
    static void do_part(void* repacker, size_t part);
    /// When all parts are done: sets TensorDesc::panels.
    void mark() const;

private:
    size_t take_buffer();

    Platform& m_platform;
    const ModelDesc& m_desc;
    std::span<TensorDesc> m_tensors;
    uint64_t m_each = 0; ///< bytes of a buffer
    uint8_t* m_buffers = nullptr;
    uint64_t m_buffers_bytes = 0;
    std::atomic<uint64_t> m_free{0}; ///< a bit a buffer
};

/// Row `row` of a repacked tensor, which is one of those in panels, as the file had it: tensor.cols values. `block` has
/// room for one block; consume(block, first value) is called for each.
template <class Consume>
void visit_panel_row(TensorType type, const uint8_t* data, uint64_t cols, uint64_t row, const Consume& consume)
{
    const djiblas::PanelType panels = panel_type(type);
    const djiblas::PanelFields& fields = djiblas::panel_fields(panels);
    const uint64_t unit_bytes = djiblas::kPanelRows * fields.bytes;
    const uint8_t* unit = data + row / djiblas::kPanelRows * (cols / fields.values) * unit_bytes;
    uint8_t block[256];
    for (uint64_t at = 0; at < cols; at += fields.values, unit += unit_bytes) {
        djiblas::unpack_panel_row(panels, block, unit, 1, row % djiblas::kPanelRows);
        consume(block, at, fields.values);
    }
}

} // namespace llmk
