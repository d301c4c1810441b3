// SPDX-License-Identifier: MIT
#include "model/weights.h"

#include "format/gguf_shards.h"
#include "model/weight_checks.h"

namespace llmk {

namespace {

/// Reads start at a multiple of this in the file and in memory: firmware reads whole sectors into whole pages best.
constexpr uint64_t kStartAlignment = 4096;
/// What lies between two tensors and has no role (a vision model, say) is read along up to this, else left out.
constexpr uint64_t kMostBetween = 1u << 20;

/// A part of a file that is read in one go, and where it goes in its piece of memory.
struct Stretch {
    uint32_t shard = 0;
    uint64_t start_bytes = 0; ///< in the file
    uint64_t end_bytes = 0;
    uint64_t at_bytes = 0; ///< in the piece
};

/// Lays tensors out in one piece of memory as their files have them, each stretch of a file from a page on.
class Layout {
public:
    /// Takes the next tensor in the order of files and offsets. True when a new stretch begins with it.
    bool add(const TensorDesc& tensor)
    {
        const uint64_t end = tensor.offset_bytes + tensor.size_bytes;
        const bool goes_on =
            m_size != 0 && tensor.shard == m_stretch.shard && tensor.offset_bytes <= m_stretch.end_bytes + kMostBetween;
        if (!goes_on) {
            const uint64_t start = tensor.offset_bytes / kStartAlignment * kStartAlignment;
            m_stretch = {tensor.shard, start, start, align_up(m_size, kStartAlignment)};
        }
        m_read += end - m_stretch.end_bytes;
        m_stretch.end_bytes = end;
        m_size = m_stretch.at_bytes + (end - m_stretch.start_bytes);
        return !goes_on;
    }
    /// The one that the last tensor is in.
    const Stretch& stretch() const { return m_stretch; }
    /// Where a tensor of it lies in the piece.
    uint64_t place_of(const TensorDesc& tensor) const
    {
        return m_stretch.at_bytes + (tensor.offset_bytes - m_stretch.start_bytes);
    }
    uint64_t size_bytes() const { return m_size; }
    /// Of all stretches in their files.
    uint64_t read_bytes() const { return m_read; }

private:
    Stretch m_stretch;
    uint64_t m_size = 0;
    uint64_t m_read = 0;
};

/// Tensors that lie in one extent of WEIGHTS: [first, end) of the description's.
struct Piece {
    size_t first = 0;
    size_t end = 0;
    uint64_t size_bytes = 0;
    uint64_t read_bytes = 0;
};

Piece whole_piece(const ModelDesc& desc)
{
    Layout layout;
    for (const TensorDesc& tensor : desc.tensors) {
        (void)layout.add(tensor);
    }
    return {0, desc.tensors.size(), layout.size_bytes(), layout.read_bytes()};
}

/// Cuts the tensors into pieces that fit the free extents: one when the whole fits, else as many as fit at a time.
/// Returns how many, 0 when it cannot be done.
size_t plan_pieces(const ModelDesc& desc, FreeMemory& memory, std::span<Piece> pieces)
{
    if (const Piece whole = whole_piece(desc); memory.take_extent(whole.size_bytes)) {
        pieces[0] = whole;
        return 1;
    }
    size_t count = 0;
    size_t next = 0;
    while (next < desc.tensors.size()) {
        const uint64_t room = memory.largest();
        Piece piece = {next, next};
        Layout layout;
        for (; next < desc.tensors.size(); ++next) {
            (void)layout.add(desc.tensors[next]);
            if (FreeMemory::extent_cost(layout.size_bytes()) > room) {
                break;
            }
            piece = {piece.first, next + 1, layout.size_bytes(), layout.read_bytes()};
        }
        if (piece.end == piece.first || count == pieces.size() || !memory.take_extent(piece.size_bytes)) {
            return 0;
        }
        pieces[count++] = piece;
    }
    return count;
}

/// One piece less than an arena's extents: the last is for the vocabulary.
constexpr size_t kMaxPieces = Arena::kMaxExtents - 1;

/// Reads tensors into WEIGHTS, file by file, has those finished that are complete, and tells the observer of the whole.
class WeightReader {
public:
    WeightReader(Platform& platform, ModelDesc& desc, const LoadObserver& observer, uint64_t total)
        : m_platform(platform), m_desc(desc), m_observer(observer), m_finisher(platform, desc, total), m_total(total)
    {
    }
    ~WeightReader() { close(); }
    WeightReader(const WeightReader&) = delete;
    WeightReader& operator=(const WeightReader&) = delete;

    /// `data` has room for the piece, from a page on.
    Result<void> read(const Piece& piece, uint8_t* data)
    {
        Layout layout;
        for (size_t i = piece.first; i < piece.end; ++i) {
            TensorDesc& tensor = m_desc.tensors[i];
            const Stretch before = layout.stretch();
            if (layout.add(tensor) && i > piece.first) {
                TRY(read_stretch(before, i, data + before.at_bytes));
            }
            tensor.data = data + layout.place_of(tensor);
        }
        return read_stretch(layout.stretch(), piece.end, data + layout.stretch().at_bytes);
    }
    /// Before the first read().
    Result<void> prepare() { return m_finisher.prepare(); }
    /// When all is read.
    void finish() { m_finisher.finish(); }
    bool summed() const { return !m_finisher.late(); }

private:
    /// One file is open at a time.
    Result<void> open(uint32_t shard)
    {
        if (m_file == nullptr || shard != m_shard) {
            close();
            m_path = m_desc.shard_count > 1 ? gguf::shard_path(m_desc.path, shard + 1) : Text<384>(m_desc.path);
            m_file = TRY(m_platform.file_open(m_path, OpenMode::read));
            m_shard = shard;
        }
        return success();
    }
    void close()
    {
        if (m_file != nullptr) {
            m_platform.file_close(m_file);
            m_file = nullptr;
        }
    }
    /// With the tensors up to `end`, the next ones.
    Result<void> read_stretch(const Stretch& stretch, size_t end, uint8_t* data)
    {
        TRY(open(stretch.shard));
        for (uint64_t at = stretch.start_bytes; at < stretch.end_bytes;) {
            // Later ones begin at a multiple of their size: whole clusters, whole sectors.
            const uint64_t wanted = std::min(kReadPieceBytes - at % kReadPieceBytes, stretch.end_bytes - at);
            const size_t got = TRY(m_platform.file_read_at(m_file, at, data + (at - stretch.start_bytes), wanted));
            if (got != wanted) {
                return fail(Status::io_error,
                            "{}: reading stopped at byte {}, weights go on to {}; the stick may be damaged or was "
                            "pulled",
                            m_path, at + got, stretch.end_bytes);
            }
            at += wanted;
            m_done += wanted;
            while (m_complete < end &&
                   m_desc.tensors[m_complete].offset_bytes + m_desc.tensors[m_complete].size_bytes <= at) {
                ++m_complete;
            }
            m_finisher.ready(m_complete);
            if (m_observer.progress != nullptr && !m_observer.progress(m_observer.context, m_done, m_total)) {
                return fail(Status::cancelled, "{}: loading was cancelled", m_desc.path);
            }
        }
        return success();
    }

    Platform& m_platform;
    ModelDesc& m_desc;
    const LoadObserver& m_observer;
    WeightFinisher m_finisher;
    size_t m_complete = 0; ///< tensors that are in memory
    PlatformFile* m_file = nullptr;
    uint32_t m_shard = 0;
    Text<384> m_path;
    uint64_t m_done = 0;
    uint64_t m_total = 0;
};

} // namespace

uint64_t tensor_bytes(const ModelDesc& desc) { return whole_piece(desc).size_bytes; }

bool weights_fit(const ModelDesc& desc, FreeMemory& memory)
{
    Piece pieces[kMaxPieces];
    return plan_pieces(desc, memory, pieces) > 0;
}

Result<WeightsRead> read_weights(Platform& platform, Arena& weights, ModelDesc& desc, uint64_t extra,
                                 const LoadObserver& observer)
{
    FreeMemory memory(platform);
    Piece pieces[kMaxPieces];
    const size_t count = memory.take_extent(extra) ? plan_pieces(desc, memory, pieces) : 0;
    if (count == 0) {
        return fail(Status::out_of_memory, "{}: {} of weights do not fit in the {} that are free", desc.path,
                    human_bytes(tensor_bytes(desc)), human_bytes(memory.total()));
    }
    uint8_t* data[kMaxPieces] = {};
    uint64_t total = 0;
    for (size_t i = 0; i < count; ++i) {
        TRY(weights.add_extent(platform, pieces[i].size_bytes));
        data[i] = static_cast<uint8_t*>(TRY(weights.alloc(pieces[i].size_bytes)));
        total += pieces[i].read_bytes;
    }
    WeightReader reader(platform, desc, observer, total);
    TRY(reader.prepare());
    for (size_t i = 0; i < count; ++i) {
        TRY(reader.read(pieces[i], data[i]));
    }
    reader.finish();
    return WeightsRead{total, reader.summed()};
}

} // namespace llmk
