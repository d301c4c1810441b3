// SPDX-License-Identifier: MIT
#include "format/gguf_tensors.h"

#include <algorithm>

namespace llmk::gguf {

namespace {

/// A model of 405 billion weights has 1,138 tensors.
constexpr uint64_t kMaxTensors = 16 * 1024;
constexpr uint64_t kMaxNameBytes = 128; // ggml itself: 64
constexpr uint32_t kMaxDimensions = 4;
/// Fewest bytes of a tensor info: name length, a letter, dimension count, one dimension, type, offset.
constexpr uint64_t kLeastInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;

struct RoleAndLayer {
    TensorRole role;
    uint32_t layer;
};

/// "blk.3.attn_q.weight" -> attn_q, 3; "blk.3.attn_q.bias" -> attn_q_bias, 3.
std::optional<RoleAndLayer> role_of(std::string_view name)
{
    constexpr std::string_view kBlock = "blk.";
    constexpr std::string_view kWeight = ".weight";
    constexpr std::string_view kBias = ".bias";
    const bool is_bias = name.ends_with(kBias);
    if (!is_bias && !name.ends_with(kWeight)) {
        return std::nullopt;
    }
    name.remove_suffix(is_bias ? kBias.size() : kWeight.size());
    uint32_t layer = 0;
    const bool in_block = name.starts_with(kBlock);
    if (in_block) {
        name.remove_prefix(kBlock.size());
        const size_t dot = name.find('.');
        const auto number = parse_u64(head(name, dot));
        if (dot == std::string_view::npos || !number || *number > kMaxTensors) {
            return std::nullopt;
        }
        layer = static_cast<uint32_t>(*number);
        name = tail(name, dot + 1);
    }
    for (size_t i = 0; i < kTensorRoles; ++i) {
        const TensorRoleInfo& info = tensor_role_info(static_cast<TensorRole>(i));
        if (info.name == name && info.in_layer == in_block && info.is_bias == is_bias) {
            return RoleAndLayer{info.role, layer};
        }
    }
    return std::nullopt;
}

/// True for a name that has no role here but a part in the numbers of some model (experts, further norms).
/// RoPE tables of old files are computed; what belongs to no text model (vision, say) is left alone.
bool is_foreign(std::string_view name)
{
    if (name.ends_with(".attn_rot_embd.weight")) {
        return false;
    }
    constexpr std::string_view kFronts[] = {"blk.", "output", "token_", "position_embd", "rope_"};
    return std::any_of(std::begin(kFronts), std::end(kFronts),
                       [&](std::string_view front) { return name.starts_with(front); });
}

/// Reads the tensor infos behind the metadata.
class TensorTable {
public:
    TensorTable(FileReader& reader, const TensorSource& source, NameTable& names, ModelDesc& desc)
        : m_reader(reader), m_source(source), m_desc(desc), m_names(names), m_extents(reader.platform())
    {
    }

    Result<void> read()
    {
        const uint64_t count = m_source.count;
        if (count > kMaxTensors - m_names.count() || count > m_reader.remaining() / kLeastInfoBytes) {
            return fail(Status::bad_format,
                        "{}: the GGUF header claims {} tensors; {} bytes follow, and at most {} tensors are read",
                        path(), count, m_reader.remaining(), kMaxTensors);
        }
        for (uint64_t i = 0; i < count; ++i) {
            TRY(read_info(m_source.alignment));
        }
        if (count == 0) {
            return success(); // the data start may lie past the end
        }
        const uint64_t alignment = m_source.alignment;
        TRY(place((m_reader.offset() + alignment - 1) / alignment * alignment));
        m_desc.type = tensor_type_name(most_common());
        return success();
    }

private:
    /// Of any tensor, with a role or without.
    struct Extent {
        uint64_t offset_bytes, size_bytes;
        uint32_t name_offset, name_length;
    };

    std::string_view path() const { return m_reader.path(); }
    uint64_t file_bytes() const { return m_reader.offset() + m_reader.remaining(); }
    std::string_view name_of(const Extent& extent) const
    {
        return m_names.text(extent.name_offset, extent.name_length);
    }

    Result<void> read_info(uint64_t alignment)
    {
        const uint64_t name_bytes = TRY(m_reader.u64("the length of a tensor's name"));
        if (name_bytes == 0 || name_bytes > kMaxNameBytes) {
            return fail(Status::bad_format, "{}: the name of a tensor is {} bytes long, expected 1 to {}", path(),
                        name_bytes, kMaxNameBytes);
        }
        const auto raw = TRY(m_reader.bytes("a tensor's name", name_bytes));
        if (!TRY(m_names.add({reinterpret_cast<const char*>(raw.data()), raw.size()}))) {
            return fail(Status::bad_format, "{}: the tensor '{}' is there twice", path(),
                        printable({reinterpret_cast<const char*>(raw.data()), raw.size()}));
        }
        const Text<80> shown = printable(m_names.text(m_names.last_offset(), name_bytes));
        const Shape shape = TRY(read_shape(shown));
        const TensorTypeInfo& type = *TRY(read_type(shown, shape.cols));
        const uint64_t offset = TRY(m_reader.u64("a tensor's offset"));
        if (offset % alignment != 0) {
            return fail(Status::bad_format, "{}: tensor {} starts at {}, expected a multiple of the alignment of {}",
                        path(), shown, offset, alignment);
        }
        const CheckedSize values = CheckedSize(shape.rows) * shape.cols;
        const CheckedSize bytes = CheckedSize(values.value() / type.block_values) * type.block_bytes;
        if (!bytes.valid()) {
            return fail(Status::bad_format, "{}: the size of tensor {} ({} x {}) overflows 64 bits", path(), shown,
                        shape.rows, shape.cols);
        }
        TRY(m_extents.push({offset, bytes.value(), m_names.last_offset(), static_cast<uint32_t>(name_bytes)}));
        return keep(shape, type.type, offset, bytes.value());
    }

    struct Shape {
        uint64_t rows, cols;
    };

    Result<Shape> read_shape(std::string_view shown)
    {
        const uint32_t dimensions = TRY(m_reader.u32("the number of a tensor's dimensions"));
        if (dimensions == 0 || dimensions > kMaxDimensions) {
            return fail(Status::bad_format, "{}: tensor {} has {} dimensions, expected 1 to {}", path(), shown,
                        dimensions, kMaxDimensions);
        }
        Shape shape = {1, 1};
        CheckedSize rows(1);
        for (uint32_t i = 0; i < dimensions; ++i) {
            const uint64_t length = TRY(m_reader.u64("a tensor's dimension"));
            if (length == 0) {
                return fail(Status::bad_format, "{}: dimension {} of tensor {} is 0, expected 1 or more", path(), i,
                            shown);
            }
            if (i == 0) {
                shape.cols = length;
            } else {
                rows = rows * length;
            }
        }
        if (!rows.valid() || !(rows * shape.cols).valid()) {
            return fail(Status::bad_format, "{}: the size of tensor {} overflows 64 bits", path(), shown);
        }
        shape.rows = rows.value();
        return shape;
    }

    Result<const TensorTypeInfo*> read_type(std::string_view shown, uint64_t cols)
    {
        const uint32_t number = TRY(m_reader.u32("a tensor's type"));
        const TensorTypeInfo* const info = find_ggml_type(number);
        if (info == nullptr) {
            const auto name = ggml_type_name(number);
            return fail(Status::unsupported, "{}: tensor {} is of type {} ({}), which is not computed here", path(),
                        shown, number, name.empty() ? std::string_view("unknown") : name);
        }
        if (cols % info->block_values != 0) {
            return fail(Status::bad_format, "{}: tensor {} has rows of {} values, not a multiple of {}'s blocks of {}",
                        path(), shown, cols, info->name, info->block_values);
        }
        return info;
    }

    Result<void> keep(const Shape& shape, TensorType type, uint64_t offset, uint64_t bytes)
    {
        const Extent& extent = m_extents[m_extents.size() - 1];
        const auto name = name_of(extent);
        if (const auto known = role_of(name)) {
            TRY(m_desc.tensors.push(
                {known->role, type, known->layer, shape.rows, shape.cols, offset, bytes, m_source.shard}));
            m_desc.parameters += shape.rows * shape.cols;
            m_desc.weight_bytes += bytes;
        } else if (is_foreign(name) && m_desc.foreign_tensor.size() == 0) {
            m_desc.foreign_tensor = printable(name);
        }
        return success();
    }

    /// Makes offsets those of the file, and sees that tensors lie within it and not on one another.
    Result<void> place(uint64_t start)
    {
        std::sort(m_extents.begin(), m_extents.end(),
                  [](const Extent& a, const Extent& b) { return a.offset_bytes < b.offset_bytes; });
        const Extent* before = nullptr;
        for (const Extent& extent : m_extents) {
            const CheckedSize end = CheckedSize(start) + extent.offset_bytes + extent.size_bytes;
            if (!end.valid() || end.value() > file_bytes()) {
                return fail(Status::bad_format,
                            "{}: tensor {} leaves the file: {} bytes from offset {} of the data, which start at {}; "
                            "the GGUF file has {} bytes, it is cut short or damaged",
                            path(), printable(name_of(extent)), extent.size_bytes, extent.offset_bytes, start,
                            file_bytes());
            }
            if (before != nullptr && before->offset_bytes + before->size_bytes > extent.offset_bytes) {
                return fail(Status::bad_format, "{}: tensors {} and {} overlap at offset {}", path(),
                            printable(name_of(*before)), printable(name_of(extent)), extent.offset_bytes);
            }
            before = &extent;
        }
        for (TensorDesc& tensor : m_desc.tensors) {
            tensor.offset_bytes += tensor.shard == m_source.shard ? start : 0;
        }
        std::sort(m_desc.tensors.begin(), m_desc.tensors.end(), [](const TensorDesc& a, const TensorDesc& b) {
            return a.shard != b.shard ? a.shard < b.shard : a.offset_bytes < b.offset_bytes;
        });
        return success();
    }

    /// The type that most weights have.
    TensorType most_common() const
    {
        uint64_t values[kTensorTypes] = {};
        for (const TensorDesc& tensor : m_desc.tensors) {
            values[static_cast<size_t>(tensor.type)] += tensor.rows * tensor.cols;
        }
        return static_cast<TensorType>(std::max_element(values, values + kTensorTypes) - values);
    }

    FileReader& m_reader;
    const TensorSource& m_source;
    ModelDesc& m_desc;
    NameTable& m_names; ///< of all files of the model
    Vec<Extent> m_extents;
};

} // namespace

Result<void> read_tensors(FileReader& reader, const TensorSource& source, NameTable& names, ModelDesc& desc)
{
    return TensorTable(reader, source, names, desc).read();
}

} // namespace llmk::gguf
