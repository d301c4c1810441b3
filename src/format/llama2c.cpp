// SPDX-License-Identifier: MIT
//
// Version 0: seven int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len), little-endian; a
// negative vocab_size means a classifier of its own. Then float32: token_embedding, rms_att[layer], wq[layer],
// wk[layer], wv[layer], wo[layer], rms_ffn[layer], w1[layer], w2[layer], w3[layer], rms_final, two RoPE tables of
// seq_len * head_size / 2 that nobody needs, and the classifier.
//
// Versions 1 and 2: 'ak42', version, the seven int32, uint8 shared_classifier, in version 2 int32 group_size, zeros up
// to byte 256. Then rms_att[layer], rms_ffn[layer], rms_final in float32, and token_embedding, wq, wk, wv, wo, w1, w2,
// w3, and the classifier unless shared, in float32 (1) or int8 followed by float32 scales, one a group, tensor by
// tensor (2).
#include "format/llama2c.h"

#include "base/reader.h"

namespace llmk::llama2c {

namespace {

constexpr uint32_t kMagic = 0x616b3432; // "ak42", as a little-endian word
constexpr uint64_t kHeaderBytes = 256;
constexpr uint64_t kLegacyHeaderBytes = 28;
constexpr float kRopeFreqBase = 10000.0f; // run.c's constants: the files do not hold them
constexpr float kRmsEpsilon = 1e-5f;

struct Header {
    int32_t dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
    bool shared_classifier;
    int32_t group_size; ///< 0 unless version 2
};

/// Lays tensors one behind the other and adds them to the table.
class Layout {
public:
    Layout(ModelDesc& desc, uint64_t start) : m_desc(desc), m_end(start) {}

    Result<void> add(TensorRole role, TensorType type, uint32_t layer, uint64_t rows, uint64_t cols)
    {
        const CheckedSize count = CheckedSize(rows) * cols;
        CheckedSize bytes = count * sizeof(float);
        if (type == TensorType::q8_group) {
            bytes = count + CheckedSize(count.valid() ? count.value() / m_desc.group_size : 0) * sizeof(float);
        }
        if (!(count * sizeof(float)).valid() || !(m_end + bytes).valid()) {
            return fail(Status::bad_format, "{}: the size of {} ({} x {} in layer {}) overflows 64 bits", m_desc.path,
                        tensor_role_name(role), rows, cols, layer);
        }
        TRY(m_desc.tensors.push({role, type, layer, rows, cols, m_end.value(), bytes.value()}));
        m_desc.parameters += count.value();
        m_desc.weight_bytes += bytes.value();
        m_end = m_end + bytes;
        return success();
    }
    Result<void> add_layers(TensorRole role, TensorType type, uint64_t rows, uint64_t cols)
    {
        for (uint32_t layer = 0; layer < m_desc.block_count; ++layer) {
            TRY(add(role, type, layer, rows, cols));
            // A wrong header can ask for 2^31 layers: stop as soon as the file cannot hold them.
            TRY(within_file(role));
        }
        return success();
    }
    Result<void> skip(CheckedSize bytes)
    {
        m_end = m_end + bytes;
        if (!m_end.valid()) {
            return fail(Status::bad_format, "{}: the size of the RoPE tables overflows 64 bits", m_desc.path);
        }
        return success();
    }
    Result<void> within_file(TensorRole role) const
    {
        if (m_end.value() > m_desc.file_size_bytes) {
            return fail(Status::bad_format,
                        "{}: the file ends inside {}: its header asks for at least {} bytes, its size is {}; it is cut "
                        "short or not a llama2.c file",
                        m_desc.path, tensor_role_name(role), m_end.value(), m_desc.file_size_bytes);
        }
        return success();
    }
    Result<void> exact() const
    {
        if (m_end.value() != m_desc.file_size_bytes) {
            return fail(Status::bad_format,
                        "{}: its size is {} bytes, but a {} header like this one asks for {}; it is cut short, has "
                        "something behind it, or is not a llama2.c file",
                        m_desc.path, m_desc.file_size_bytes, m_desc.format, m_end.value());
        }
        return success();
    }

private:
    ModelDesc& m_desc;
    CheckedSize m_end;
};

Result<void> require_positive(const ModelDesc& desc, std::string_view field, int32_t value)
{
    if (value < 1) {
        return fail(Status::bad_format, "{}: {} is {}, expected 1 or more; the file is damaged or not a llama2.c model",
                    desc.path, field, value);
    }
    return success();
}

/// `n_heads` and the like must divide the field above them.
Result<void> require_divides(const ModelDesc& desc, std::string_view small_name, int64_t small,
                             std::string_view large_name, int64_t large)
{
    if (large % small != 0) {
        return fail(Status::bad_format, "{}: {} is {}, which does not divide {} ({})", desc.path, small_name, small,
                    large_name, large);
    }
    return success();
}

Result<Header> read_fields(ByteReader& reader)
{
    Header header = {};
    header.dim = TRY(reader.i32("dim"));
    header.hidden_dim = TRY(reader.i32("hidden_dim"));
    header.n_layers = TRY(reader.i32("n_layers"));
    header.n_heads = TRY(reader.i32("n_heads"));
    header.n_kv_heads = TRY(reader.i32("n_kv_heads"));
    header.vocab_size = TRY(reader.i32("vocab_size"));
    header.seq_len = TRY(reader.i32("seq_len"));
    return header;
}

Result<void> check_fields(const Header& header, const ModelDesc& desc)
{
    TRY(require_positive(desc, "dim", header.dim));
    TRY(require_positive(desc, "hidden_dim", header.hidden_dim));
    TRY(require_positive(desc, "n_layers", header.n_layers));
    TRY(require_positive(desc, "n_heads", header.n_heads));
    TRY(require_positive(desc, "n_kv_heads", header.n_kv_heads));
    TRY(require_positive(desc, "vocab_size", header.vocab_size));
    TRY(require_positive(desc, "seq_len", header.seq_len));
    TRY(require_divides(desc, "n_heads", header.n_heads, "dim", header.dim));
    TRY(require_divides(desc, "n_kv_heads", header.n_kv_heads, "n_heads", header.n_heads));
    if ((header.dim / header.n_heads) % 2 != 0) {
        return fail(Status::bad_format,
                    "{}: dim {} over n_heads {} gives heads of {} values; RoPE needs an even number", desc.path,
                    header.dim, header.n_heads, header.dim / header.n_heads);
    }
    return success();
}

void fill(const Header& header, ModelDesc& desc)
{
    desc.architecture = "llama";
    desc.kind = ModelKind::story;
    desc.vocabulary.kind = VocabularyKind::llama2c;
    desc.embedding_length = static_cast<uint64_t>(header.dim);
    desc.feed_forward_length = static_cast<uint64_t>(header.hidden_dim);
    desc.block_count = static_cast<uint64_t>(header.n_layers);
    desc.head_count = static_cast<uint64_t>(header.n_heads);
    desc.head_count_kv = static_cast<uint64_t>(header.n_kv_heads);
    desc.head_dim = desc.embedding_length / desc.head_count;
    desc.context_length = static_cast<uint64_t>(header.seq_len);
    desc.vocab_size = static_cast<uint64_t>(header.vocab_size);
    desc.rope_freq_base = kRopeFreqBase;
    desc.norm_rms_epsilon = kRmsEpsilon;
    desc.tied_head = header.shared_classifier;
    desc.group_size = static_cast<uint64_t>(header.group_size);
}

/// The weights of a block, in the order that all versions share but for the norms.
Result<void> add_matrices(Layout& layout, const ModelDesc& desc, TensorType type, TensorRole first, TensorRole last)
{
    const uint64_t dim = desc.embedding_length;
    const uint64_t kv_dim = desc.head_count_kv * desc.head_dim;
    const uint64_t hidden = desc.feed_forward_length;
    const struct {
        TensorRole role;
        uint64_t rows, cols;
    } matrices[] = {
        {TensorRole::attn_q, dim, dim},      {TensorRole::attn_k, kv_dim, dim},   {TensorRole::attn_v, kv_dim, dim},
        {TensorRole::attn_output, dim, dim}, {TensorRole::ffn_gate, hidden, dim}, {TensorRole::ffn_down, dim, hidden},
        {TensorRole::ffn_up, hidden, dim},
    };
    bool within = false;
    for (const auto& matrix : matrices) {
        within = within || matrix.role == first;
        if (within) {
            TRY(layout.add_layers(matrix.role, type, matrix.rows, matrix.cols));
        }
        within = within && matrix.role != last;
    }
    return success();
}

Result<void> check_group(const Header& header, const ModelDesc& desc)
{
    if (header.group_size < 1) {
        return fail(Status::bad_format, "{}: group_size is {}, expected 1 or more", desc.path, header.group_size);
    }
    // Groups run along rows of dim and of hidden_dim; kv_dim only counts rows.
    TRY(require_divides(desc, "group_size", header.group_size, "dim", header.dim));
    return require_divides(desc, "group_size", header.group_size, "hidden_dim", header.hidden_dim);
}

} // namespace

bool has_magic(std::span<const uint8_t> head, uint64_t)
{
    ByteReader reader("", head);
    auto magic = reader.u32("magic");
    return magic.ok() && magic.value() == kMagic;
}

Result<void> parse_versioned(const ModelFile& file, ModelDesc& desc)
{
    ByteReader reader(file.path(), file.head());
    TRY(reader.u32("magic"));
    const int32_t version = TRY(reader.i32("version"));
    if (version != 1 && version != 2) {
        return fail(Status::unsupported, "{}: llama2.c version {} is not known, expected 1 (float32) or 2 (int8)",
                    file.path(), version);
    }
    Header header = TRY(read_fields(reader));
    const uint8_t shared = TRY(reader.u8("shared_classifier"));
    if (shared > 1) {
        return fail(Status::bad_format, "{}: shared_classifier is {}, expected 0 or 1", file.path(), shared);
    }
    header.shared_classifier = shared == 1;
    desc.format = version == 1 ? std::string_view("llama2.c v1") : std::string_view("llama2.c v2");
    TRY(check_fields(header, desc));
    TensorType type = TensorType::f32;
    desc.type = "F32";
    if (version == 2) {
        header.group_size = TRY(reader.i32("group_size"));
        TRY(check_group(header, desc));
        type = TensorType::q8_group;
        desc.type = Text<24>("Q8 g{}", header.group_size);
    }
    fill(header, desc);

    const uint64_t dim = desc.embedding_length;
    Layout layout(desc, kHeaderBytes);
    TRY(layout.add_layers(TensorRole::attn_norm, TensorType::f32, 1, dim));
    TRY(layout.add_layers(TensorRole::ffn_norm, TensorType::f32, 1, dim));
    TRY(layout.add(TensorRole::output_norm, TensorType::f32, 0, 1, dim));
    TRY(layout.add(TensorRole::token_embd, type, 0, desc.vocab_size, dim));
    TRY(layout.within_file(TensorRole::token_embd));
    TRY(add_matrices(layout, desc, type, TensorRole::attn_q, TensorRole::ffn_up));
    if (!desc.tied_head) {
        TRY(layout.add(TensorRole::output, type, 0, desc.vocab_size, dim));
        TRY(layout.within_file(TensorRole::output));
    }
    return layout.exact();
}

bool may_be_legacy(std::span<const uint8_t>, uint64_t) { return true; }

Result<void> parse_legacy(const ModelFile& file, ModelDesc& desc)
{
    desc.format = "llama2.c v0";
    desc.type = "F32";
    ByteReader reader(file.path(), file.head());
    Header header = TRY(read_fields(reader));
    if (header.vocab_size == INT32_MIN) {
        return fail(Status::bad_format, "{}: vocab_size is {}, which has no positive counterpart", file.path(),
                    header.vocab_size);
    }
    header.shared_classifier = header.vocab_size > 0;
    header.vocab_size = header.vocab_size < 0 ? -header.vocab_size : header.vocab_size;
    TRY(check_fields(header, desc));
    fill(header, desc);

    const uint64_t dim = desc.embedding_length;
    Layout layout(desc, kLegacyHeaderBytes);
    TRY(layout.add(TensorRole::token_embd, TensorType::f32, 0, desc.vocab_size, dim));
    TRY(layout.within_file(TensorRole::token_embd));
    TRY(layout.add_layers(TensorRole::attn_norm, TensorType::f32, 1, dim));
    TRY(add_matrices(layout, desc, TensorType::f32, TensorRole::attn_q, TensorRole::attn_output));
    TRY(layout.add_layers(TensorRole::ffn_norm, TensorType::f32, 1, dim));
    TRY(add_matrices(layout, desc, TensorType::f32, TensorRole::ffn_gate, TensorRole::ffn_up));
    TRY(layout.add(TensorRole::output_norm, TensorType::f32, 0, 1, dim));
    TRY(layout.within_file(TensorRole::output_norm));
    // The two RoPE tables: seq_len * head_dim / 2 floats each.
    TRY(layout.skip(CheckedSize(desc.context_length) * desc.head_dim * sizeof(float)));
    if (!desc.tied_head) {
        TRY(layout.add(TensorRole::output, TensorType::f32, 0, desc.vocab_size, dim));
    }
    return layout.exact();
}

} // namespace llmk::llama2c
