#include "lsm/sst/stored_buffers.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/message.h>
#include <arrow/ipc/reader.h>
#include <arrow/type.h>

#include "base/coding.h"
#include "base/limits.h"
#include "lsm/sst/batch_layout.h"

namespace marble::lsm {
namespace {

constexpr uint64_t kAlignment = 64;
/// "ARROW1" and padding; messages follow.
constexpr int64_t kMagicBytes = 8;

Status Damaged(const std::string& what) { return MakeError(ErrorCode::kCorruption, what); }

// Arrow's messages are flatbuffers, whose classes Arrow keeps to itself. What is needed of them is
// little: a table's fields by number (Message.fbs), vectors of two 64-bit numbers.

/// A table of a flatbuffer. Nothing it says is believed: what lies outside is absent.
class FlatTable {
 public:
  static std::optional<FlatTable> Root(std::string_view bytes) {
    uint32_t at = 0;
    if (!Load(bytes, 0, &at)) return std::nullopt;
    return At(bytes, at);
  }
  template <typename T>
  T Scalar(int field, T otherwise) const {
    T value{};
    const uint64_t at = FieldAt(field);
    return at != 0 && Load(bytes_, at, &value) ? value : otherwise;
  }
  std::optional<FlatTable> Table(int field) const {
    const uint64_t at = Pointer(field);
    return at == 0 ? std::nullopt : At(bytes_, at);
  }
  /// A vector of structs of two 64-bit numbers; nothing when it is not there or not whole.
  std::optional<std::vector<std::pair<int64_t, int64_t>>> Pairs(int field) const {
    constexpr uint64_t kPairBytes = 16;
    const uint64_t at = Pointer(field);
    uint32_t count = 0;
    if (at == 0 || !Load(bytes_, at, &count)) return std::nullopt;
    const uint64_t first = at + sizeof count;
    if ((bytes_.size() - first) / kPairBytes < count) return std::nullopt;
    std::vector<std::pair<int64_t, int64_t>> pairs(count);
    for (uint64_t i = 0; i < count; ++i) {
      Load(bytes_, first + i * kPairBytes, &pairs[i].first);
      Load(bytes_, first + i * kPairBytes + 8, &pairs[i].second);
    }
    return pairs;
  }

 private:
  FlatTable(std::string_view bytes, uint64_t at, uint64_t vtable, uint16_t vtable_bytes)
      : bytes_(bytes), at_(at), vtable_(vtable), vtable_bytes_(vtable_bytes) {}

  template <typename T>
  static bool Load(std::string_view bytes, uint64_t at, T* value) {
    if (at > bytes.size() || bytes.size() - at < sizeof(T)) return false;
    *value = LoadFixed<T>(bytes.data() + at);
    return true;
  }
  static std::optional<FlatTable> At(std::string_view bytes, uint64_t at) {
    int32_t back = 0;
    uint16_t vtable_bytes = 0;
    if (!Load(bytes, at, &back)) return std::nullopt;
    const int64_t vtable = static_cast<int64_t>(at) - back;
    if (vtable < 0 || !Load(bytes, static_cast<uint64_t>(vtable), &vtable_bytes)) {
      return std::nullopt;
    }
    return FlatTable(bytes, at, static_cast<uint64_t>(vtable), vtable_bytes);
  }
  /// Where a field's value lies; 0: it is not there.
  uint64_t FieldAt(int field) const {
    const uint64_t entry = 4 + 2 * static_cast<uint64_t>(field);
    uint16_t offset = 0;
    if (entry + 2 > vtable_bytes_ || !Load(bytes_, vtable_ + entry, &offset) || offset == 0) {
      return 0;
    }
    return at_ + offset;
  }
  /// Where what a field refers to lies; 0: it is not there.
  uint64_t Pointer(int field) const {
    const uint64_t at = FieldAt(field);
    uint32_t offset = 0;
    return at != 0 && Load(bytes_, at, &offset) ? at + offset : 0;
  }

  std::string_view bytes_;
  uint64_t at_;
  uint64_t vtable_;
  uint16_t vtable_bytes_;
};

// Fields by number, from Arrow's Message.fbs.
constexpr int kMessageHeader = 2;
constexpr int kBatchLength = 0;
constexpr int kBatchNodes = 1;
constexpr int kBatchBuffers = 2;
constexpr int kBatchCompression = 3;
constexpr int kCompressionCodec = 0;
constexpr int kCompressionMethod = 1;
constexpr int8_t kLz4FrameCodec = 0;
constexpr int8_t kZstdCodec = 1;

Status ReadBatch(const arrow::ipc::Message& message, std::string_view file, Compression compression,
                 CompressedLayouts* out) {
  const auto malformed = [] { return Damaged("a record batch's message is malformed"); };
  const auto root = FlatTable::Root(std::string_view(*message.metadata()));
  const auto batch = root ? root->Table(kMessageHeader) : std::nullopt;
  if (!batch) return malformed();
  const auto nodes = batch->Pairs(kBatchNodes);
  const auto buffers = batch->Pairs(kBatchBuffers);
  const auto how = batch->Table(kBatchCompression);
  if (!nodes || !buffers) return malformed();
  const int8_t codec = compression == Compression::kLz4 ? kLz4FrameCodec : kZstdCodec;
  if (!how || how->Scalar<int8_t>(kCompressionCodec, 0) != codec ||
      how->Scalar<int8_t>(kCompressionMethod, 0) != 0) {
    return Damaged("a record batch is not compressed with " +
                   std::string(CompressionName(compression)));
  }
  const auto body = message.body();
  const auto* begin = body == nullptr ? nullptr : reinterpret_cast<const char*>(body->data());
  if (begin == nullptr || begin < file.data() || begin + body->size() > file.data() + file.size()) {
    return Damaged("a record batch's body is not inside the file");
  }
  const auto body_at = static_cast<uint64_t>(begin - file.data());
  const auto body_bytes = static_cast<uint64_t>(body->size());

  BatchLayout layout;
  layout.rows = batch->Scalar<int64_t>(kBatchLength, 0);
  for (const auto& [length, null_count] : *nodes) layout.nodes.push_back({length, null_count});
  std::vector<BufferSpan> stored;
  uint64_t end = 0;
  for (const auto& [offset, length] : *buffers) {
    if (length == 0) {
      layout.buffers.push_back({0, 0});
      stored.push_back({0, 0});
      continue;
    }
    if (offset < 0 || length <= static_cast<int64_t>(kDecodedLengthBytes) ||
        static_cast<uint64_t>(offset) > body_bytes ||
        static_cast<uint64_t>(length) > body_bytes - static_cast<uint64_t>(offset)) {
      return Damaged("a buffer of a record batch is not inside its body");
    }
    const BufferSpan span{body_at + static_cast<uint64_t>(offset), static_cast<uint64_t>(length)};
    const auto claimed = LoadFixed<int64_t>(file.data() + span.offset);
    const uint64_t decoded =
        claimed == -1 ? span.length - kDecodedLengthBytes : static_cast<uint64_t>(claimed);
    if (claimed < -1 || claimed == 0 || decoded > limits::kMaxWriteBatchBytes) {
      return Damaged("the decoded length at offset " + std::to_string(span.offset) +
                     " is impossible");
    }
    layout.buffers.push_back({end, decoded});
    end = AlignUp(end + decoded, kAlignment);
    stored.push_back(span);
  }
  out->decoded.push_back(std::move(layout));
  out->stored.push_back(std::move(stored));
  return Status::OK();
}

}  // namespace

uint64_t BufferBytes(const std::vector<BufferSpan>& buffers) {
  uint64_t bytes = 0;
  for (const BufferSpan& span : buffers) bytes += span.length;
  return bytes;
}

uint64_t DecodedBytes(const BatchLayout& layout) {
  uint64_t end = 0;
  for (const BufferSpan& span : layout.buffers) {
    if (span.length > 0) end = AlignUp(span.offset + span.length, kAlignment);
  }
  return end;
}

uint64_t PlainBytes(uint64_t arrow_bytes, const std::vector<BatchLayout>& decoded,
                    const StoredBatches& stored) {
  uint64_t bytes = arrow_bytes;
  for (const auto& buffers : stored) bytes -= BufferBytes(buffers);
  for (const BatchLayout& layout : decoded) bytes += BufferBytes(layout.buffers);
  return bytes;
}

std::string EncodeStoredBuffers(Compression compression, const StoredBatches& batches) {
  std::string out;
  PutFixed<uint64_t>(&out, static_cast<uint64_t>(compression));
  for (const auto& batch : batches) {
    for (const BufferSpan& span : batch) {
      PutFixed<uint64_t>(&out, span.offset);
      PutFixed<uint64_t>(&out, span.length);
    }
  }
  return out;
}

Result<StoredBuffers> DecodeStoredBuffers(std::string_view section,
                                          const std::vector<BatchLayout>& layouts,
                                          uint64_t arrow_bytes) {
  StoredBuffers out;
  Decoder in(section);
  uint64_t codec = 0;
  if (!in.Fixed(&codec)) return Damaged("the stored buffers are cut off");
  const auto compression = CompressionOfNumber(codec);
  if (!compression || *compression == Compression::kNone) {
    return Damaged("the codec of the stored buffers is unknown");
  }
  out.compression = *compression;
  const uint64_t buffers = layouts.empty() ? 0 : layouts[0].buffers.size();
  if (in.remaining() != layouts.size() * buffers * 16) {
    return Damaged("the stored buffers have a wrong size");
  }
  const auto impossible = [](size_t batch) {
    return Damaged("the stored buffers of batch " + std::to_string(batch) + " are impossible");
  };
  for (size_t b = 0; b < layouts.size(); ++b) {
    const BatchLayout& layout = layouts[b];
    std::vector<BufferSpan> stored(buffers);
    uint64_t end = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < buffers; ++i) {
      in.Fixed(&stored[i].offset);
      in.Fixed(&stored[i].length);
      const BufferSpan& decoded = layout.buffers[i];
      if (decoded.length == 0) {
        if (decoded.offset != 0 || stored[i].offset != 0 || stored[i].length != 0) {
          return impossible(b);
        }
        continue;
      }
      if (stored[i].length <= kDecodedLengthBytes || stored[i].offset > arrow_bytes ||
          stored[i].length > arrow_bytes - stored[i].offset || stored[i].offset % 8 != 0 ||
          decoded.length / limits::kMaxCompressionRatio > stored[i].length) {
        return impossible(b);
      }
      // Nothing may lie anywhere else: so memory is taken for the buffers alone.
      if (decoded.offset != end) return impossible(b);
      bytes += decoded.length;
      end = AlignUp(end + decoded.length, kAlignment);
    }
    const uint64_t most = layout.rows == 1 ? uint64_t{limits::kMaxWriteBatchBytes}
                                           : uint64_t{limits::kCompressedBatchBytes};
    if (bytes > most) return impossible(b);
    out.batches.push_back(std::move(stored));
  }
  return out;
}

Result<CompressedLayouts> ReadCompressedLayouts(std::string_view arrow_file,
                                                const arrow::Schema& schema,
                                                Compression compression) {
  arrow::ipc::IpcReadOptions options;
  options.use_threads = false;
  const auto buffer = std::make_shared<arrow::Buffer>(
      reinterpret_cast<const uint8_t*>(arrow_file.data()), static_cast<int64_t>(arrow_file.size()));
  // The footer's view: the schema, and how many batches there are.
  MARBLE_ASSIGN_OR_RETURN(auto reader,
                          arrow::ipc::RecordBatchFileReader::Open(
                              std::make_shared<arrow::io::BufferReader>(buffer), options));
  if (!reader->schema()->Equals(schema, /*check_metadata=*/false)) {
    return Damaged("the Arrow file's schema is " + reader->schema()->ToString() + ", expected " +
                   schema.ToString());
  }
  const auto stream = std::make_shared<arrow::io::BufferReader>(buffer);
  MARBLE_RETURN_NOT_OK(stream->Seek(kMagicBytes));
  const auto messages = arrow::ipc::MessageReader::Open(stream);
  const LayoutSize want = LayoutSizeOf(schema);
  CompressedLayouts out;
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const auto message, messages->ReadNextMessage());
    if (message == nullptr) break;
    if (message->type() == arrow::ipc::MessageType::SCHEMA) continue;
    if (message->type() != arrow::ipc::MessageType::RECORD_BATCH) {
      return Damaged("the Arrow file has a message that is no record batch");
    }
    MARBLE_RETURN_NOT_OK(ReadBatch(*message, arrow_file, compression, &out));
    if (out.decoded.back().nodes.size() != want.nodes ||
        out.decoded.back().buffers.size() != want.buffers) {
      return Damaged("a record batch does not fit the schema");
    }
  }
  if (out.decoded.size() != static_cast<size_t>(reader->num_record_batches())) {
    return Damaged("the Arrow file's footer names another number of record batches");
  }
  return out;
}

}  // namespace marble::lsm
