#include "stream/connectors/file_source.h"

#include <arrow/api.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/limits.h"
#include "format/decoder.h"
#include "format/json_decoder.h"
#include "io/compressed_file.h"
#include "io/glob.h"

namespace marble::stream {

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kMaxLineBytes = 64u << 20;  // a longer line is no json lines file

class FileSource : public Source {
 public:
  explicit FileSource(SourceSpec spec) : spec_(std::move(spec)) {}

  Status Prepare() {
    const auto path = spec_.options.find("path");
    if (path == spec_.options.end() || path->second.empty()) {
      return Error(ErrorCode::kPlan, "option 'path' is missing");
    }
    auto resolved = io::ResolvePath(path->second);
    if (!resolved.ok()) return Error(ErrorCode::kPlan, MessageOf(resolved.status()));
    path_ = std::move(resolved->path);
    fs_ = std::move(resolved->file_system);
    for (const auto& [name, value] : spec_.options) {
      if (name != "path" && name != "connector" && name != "format") {
        return Error(ErrorCode::kPlan,
                     "option '" + name + "' is not known to connector 'filesystem'");
      }
    }
    if (spec_.format != "json") {
      return Error(spec_.format.empty() ? ErrorCode::kPlan : ErrorCode::kNotSupported,
                   spec_.format.empty() ? "option 'format' is missing"
                                        : "format '" + spec_.format +
                                              "' is not supported by connector 'filesystem'");
    }
    std::vector<std::shared_ptr<arrow::Field>> fields, output;
    for (const auto& column : spec_.columns) {
      if (column.kind == SourceColumn::Kind::kMetadata) {
        return Error(ErrorCode::kPlan,
                     "connector 'filesystem' has no metadata column '" + column.name + "'");
      }
      fields.push_back(arrow::field(column.name, column.field->type(), column.field->nullable()));
      output.push_back(column.field);
    }
    schema_ = arrow::schema(std::move(output));
    MARBLE_ASSIGN_OR_RETURN(auto json, format::JsonOptions::Parse(spec_.format_options));
    skip_bad_ = json.ignore_parse_errors;
    MARBLE_ASSIGN_OR_RETURN(decoder_,
                            format::Decoder::Make(spec_.format, spec_.format_options, fields));
    return Status::OK();
  }

  Status Open(const Offsets& start) override {
    MARBLE_RETURN_NOT_OK(ListFiles());
    const auto offset = start.find(0);
    if (offset != start.end()) MARBLE_RETURN_NOT_OK(Seek(offset->second));
    return Status::OK();
  }

  Result<std::optional<SourceBatch>> Next(std::chrono::milliseconds) override {
    if (closed_) return MakeError(ErrorCode::kClosed, "The source is closed");
    if (finished()) return std::nullopt;
    int64_t bad = 0;
    while (decoder_->rows() < limits::kSourceBatchRows &&
           decoder_->bytes() < limits::kSourceBatchBytes && !finished()) {
      MARBLE_ASSIGN_OR_RETURN(bool line, NextLine());
      if (!line) continue;  // the next file
      if (line_.empty()) continue;
      Status status = decoder_->Append(line_);
      if (status.ok()) continue;
      if (CodeOf(status) != ErrorCode::kBadRecord || !skip_bad_) {
        return MakeError(CodeOf(status),
                         "Table '" + spec_.table + "': " + files_[file_].path + " at " +
                             (files_[file_].compressed ? "decompressed " : "") + "byte " +
                             std::to_string(line_start_) + ": " + MessageOf(status));
      }
      ++bad;
    }
    SourceBatch batch;
    const int64_t rows = decoder_->rows();
    MARBLE_ASSIGN_OR_RETURN(auto columns, decoder_->Finish());
    batch.rows = arrow::RecordBatch::Make(schema_, rows, std::move(columns));
    batch.next_offset = Offset();
    batch.bad_records = bad;
    return std::optional(std::move(batch));
  }

  bool finished() const override { return file_ >= files_.size(); }

  std::vector<PartitionStatus> Partitions() const override {
    PartitionStatus status;
    status.finished = finished();
    status.caught_up = finished();
    if (finished()) status.lag = 0;
    return {status};
  }

  Status Commit(const Offsets&) override { return Status::OK(); }
  void Close() override { closed_ = true; }

 private:
  struct File {
    std::string name;  // in offsets
    std::string path;
    /// Of the content. Of a compressed file it is known when its end has been read.
    uint64_t size = 0;
    bool compressed = false;
  };

  Status Error(ErrorCode code, const std::string& message) const {
    return MakeError(code, "Table '" + spec_.table + "': " + message);
  }

  Status ListFiles() {
    MARBLE_ASSIGN_OR_RETURN(const auto info, fs_->Stat(path_));
    if (info && info->is_directory) {
      MARBLE_ASSIGN_OR_RETURN(const auto names, fs_->List(path_));
      for (const std::string& name : names) {
        if (!name.starts_with(".")) MARBLE_RETURN_NOT_OK(AddFile(name, path_ + "/" + name));
      }
    } else if (info) {
      MARBLE_RETURN_NOT_OK(AddFile(path_.substr(path_.find_last_of('/') + 1), path_));
    } else if (io::IsPattern(path_)) {
      auto paths = io::Glob(fs_.get(), path_);
      if (!paths.ok()) return Error(CodeOf(paths.status()), MessageOf(paths.status()));
      for (const std::string& path : *paths) MARBLE_RETURN_NOT_OK(AddFile(path, path));
      if (files_.empty()) {
        return Error(ErrorCode::kNotFound, "no file matches the pattern '" + path_ + "'");
      }
    } else {
      return Error(ErrorCode::kNotFound, "path '" + path_ + "' does not exist");
    }
    std::sort(files_.begin(), files_.end(),
              [](const File& a, const File& b) { return a.name < b.name; });
    return Status::OK();
  }

  /// Take a file, leave out a folder and what is gone meanwhile.
  Status AddFile(const std::string& name, const std::string& path) {
    MARBLE_ASSIGN_OR_RETURN(const auto info, fs_->Stat(path));
    if (!info || info->is_directory) return Status::OK();
    const bool compressed = io::CompressionOf(path) != io::Compression::kNone;
    files_.push_back({name, path, compressed ? 0 : info->size, compressed});
    return Status::OK();
  }

  /// "<file>:<byte>" in quotes, bytes of the content; no file: behind the last one.
  std::string Offset() const {
    const std::string text =
        finished()
            ? (files_.empty() ? std::string(":0")
                              : files_.back().name + ":" + std::to_string(files_.back().size))
            : files_[file_].name + ":" + std::to_string(position_);
    std::string quoted = "\"";
    for (char c : text) {
      if (c == '"' || c == '\\') quoted.push_back('\\');
      quoted.push_back(c);
    }
    return quoted + "\"";
  }

  Status Seek(const std::string& offset) {
    std::string text;
    for (size_t i = 1; i + 1 < offset.size(); ++i) {
      if (offset[i] == '\\') ++i;
      text.push_back(offset[i]);
    }
    const size_t colon = text.rfind(':');
    if (offset.size() < 2 || colon == std::string::npos) {
      return Error(ErrorCode::kIncompatibleState, "offset " + offset + " is not of this connector");
    }
    const auto name = text.substr(0, colon);
    const uint64_t byte = std::strtoull(text.c_str() + colon + 1, nullptr, 10);
    // Files are read in the order of their names: what sorts before was read.
    while (file_ < files_.size() && files_[file_].name < name) ++file_;
    if (name.empty()) return Status::OK();
    if (file_ >= files_.size() || files_[file_].name != name ||
        (!files_[file_].compressed && files_[file_].size < byte)) {
      return NoLongerThere(name, byte);
    }
    position_ = byte;
    // Of a compressed file it is known after decompressing up to there: now, or a job would fail
    // after it has begun.
    return files_[file_].compressed ? OpenFile() : Status::OK();
  }

  Status NoLongerThere(const std::string& name, uint64_t byte) const {
    return Error(ErrorCode::kIncompatibleState, "the job stopped at byte " + std::to_string(byte) +
                                                    " of '" + name + "', which is no longer there");
  }

  /// Open the current file at position_.
  Status OpenFile() {
    const File& file = files_[file_];
    MARBLE_ASSIGN_OR_RETURN(stream_, io::OpenInput(fs_.get(), file.path));
    buffer_.clear();
    buffer_at_ = 0;
    read_all_ = false;
    MARBLE_ASSIGN_OR_RETURN(const uint64_t skipped, stream_->Skip(position_));
    return skipped == position_ ? Status::OK() : NoLongerThere(file.name, position_);
  }

  /// The next line into line_; false at a file's end, when the next file is current.
  Result<bool> NextLine() {
    File& file = files_[file_];
    if (stream_ == nullptr) MARBLE_RETURN_NOT_OK(OpenFile());
    while (true) {
      const char* begin = buffer_.data() + buffer_at_;
      const char* end = buffer_.data() + buffer_.size();
      const auto* newline = static_cast<const char*>(
          begin == end ? nullptr : std::memchr(begin, '\n', static_cast<size_t>(end - begin)));
      const bool at_end =
          file.compressed ? read_all_ : stream_->position() >= file.size;  // as it was listed
      if (newline != nullptr || (at_end && begin < end)) {
        const char* stop = newline != nullptr ? newline : end;
        line_ = {begin, static_cast<size_t>(stop - begin)};
        line_start_ = position_;
        const size_t taken = line_.size() + (newline != nullptr ? 1 : 0);
        buffer_at_ += taken;
        position_ += taken;
        while (!line_.empty() && (line_.back() == '\r' || line_.back() == ' ')) {
          line_.remove_suffix(1);
        }
        return true;
      }
      if (at_end) {
        if (file.compressed) file.size = position_;
        stream_.reset();
        ++file_;
        position_ = 0;
        return false;
      }
      MARBLE_RETURN_NOT_OK(Fill(file));
    }
  }

  Status Fill(const File& file) {
    buffer_.erase(0, buffer_at_);
    buffer_at_ = 0;
    const size_t have = buffer_.size();
    if (have > kMaxLineBytes) {
      return Error(ErrorCode::kTooLarge,
                   file.path + ": the line at byte " + std::to_string(position_) + " is too long");
    }
    const uint64_t left = file.compressed ? kReadBytes : file.size - stream_->position();
    const size_t want = std::min<uint64_t>(kReadBytes, left);
    buffer_.resize(have + want);
    auto got = stream_->Read(want, buffer_.data() + have);
    buffer_.resize(have + (got.ok() ? *got : 0));
    if (!got.ok()) return Error(CodeOf(got.status()), MessageOf(got.status()));
    read_all_ = *got == 0;
    if (read_all_ && !file.compressed) {
      return Error(ErrorCode::kIo, file.path + " became shorter while it was read");
    }
    return Status::OK();
  }

  SourceSpec spec_;
  std::shared_ptr<io::FileSystem> fs_;
  std::string path_;
  bool skip_bad_ = false;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<format::Decoder> decoder_;
  std::atomic<bool> closed_{false};

  std::vector<File> files_;
  size_t file_ = 0;
  uint64_t position_ = 0;                    // of the next line in the current file
  std::unique_ptr<io::InputStream> stream_;  // of the current file, once it is needed
  bool read_all_ = false;                    // of a compressed file: its end has been seen
  std::string buffer_;
  size_t buffer_at_ = 0;
  std::string_view line_;
  uint64_t line_start_ = 0;
};

}  // namespace

Result<std::unique_ptr<Source>> MakeFileSource(const SourceSpec& spec) {
  auto source = std::make_unique<FileSource>(spec);
  MARBLE_RETURN_NOT_OK(source->Prepare());
  return source;
}

}  // namespace marble::stream
