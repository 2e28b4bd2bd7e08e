#include "stream/connectors/file_source.h"

#include <arrow/api.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/limits.h"
#include "format/decoder.h"
#include "format/json_decoder.h"

namespace marble::stream {

namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kMaxLineBytes = 64u << 20;  // a longer line is no json lines file

class FileSource : public Source {
 public:
  explicit FileSource(SourceSpec spec) : spec_(std::move(spec)) {}
  ~FileSource() override { CloseFile(); }

  Status Prepare() {
    const auto path = spec_.options.find("path");
    if (path == spec_.options.end() || path->second.empty()) {
      return Error(ErrorCode::kPlan, "option 'path' is missing");
    }
    path_ = path->second;
    if (path_.starts_with("file://")) path_ = path_.substr(7);
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
        return MakeError(CodeOf(status), "Table '" + spec_.table + "': " + files_[file_].path +
                                             " at byte " + std::to_string(line_start_) + ": " +
                                             MessageOf(status));
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
    uint64_t size;
  };

  Status Error(ErrorCode code, const std::string& message) const {
    return MakeError(code, "Table '" + spec_.table + "': " + message);
  }

  Status ListFiles() {
    std::error_code error;
    const auto status = fs::status(path_, error);
    if (!fs::exists(status)) {
      return Error(ErrorCode::kNotFound, "path '" + path_ + "' does not exist");
    }
    if (fs::is_directory(status)) {
      for (const auto& entry : fs::directory_iterator(path_, error)) {
        const auto name = entry.path().filename().string();
        std::error_code ignored;
        if (!name.starts_with(".") && entry.is_regular_file(ignored)) {
          files_.push_back({name, entry.path().string(), 0});
        }
      }
      std::sort(files_.begin(), files_.end(),
                [](const File& a, const File& b) { return a.name < b.name; });
    } else {
      files_.push_back({fs::path(path_).filename().string(), path_, 0});
    }
    if (error) return Error(ErrorCode::kIo, "path '" + path_ + "': " + error.message());
    for (auto& file : files_) {
      struct stat info;
      if (::stat(file.path.c_str(), &info) != 0) return IoError("stat", file.path, errno);
      file.size = static_cast<uint64_t>(info.st_size);
    }
    return Status::OK();
  }

  /// "<file>:<byte>" in quotes; no file: behind the last one.
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
    if (file_ >= files_.size() || files_[file_].name != name || files_[file_].size < byte) {
      return Error(ErrorCode::kIncompatibleState, "the job stopped at byte " +
                                                      std::to_string(byte) + " of '" + name +
                                                      "', which is no longer there");
    }
    position_ = byte;
    return Status::OK();
  }

  /// The next line into line_; false at a file's end, when the next file is current.
  Result<bool> NextLine() {
    const File& file = files_[file_];
    if (fd_ < 0) {
      fd_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd_ < 0) return IoError("open", file.path, errno);
      buffer_.clear();
      buffer_at_ = 0;
      read_to_ = position_;
    }
    while (true) {
      const char* begin = buffer_.data() + buffer_at_;
      const char* end = buffer_.data() + buffer_.size();
      const auto* newline = static_cast<const char*>(
          begin == end ? nullptr : std::memchr(begin, '\n', static_cast<size_t>(end - begin)));
      const bool at_end = read_to_ >= file.size;
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
        CloseFile();
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
    const size_t want = std::min<uint64_t>(kReadBytes, file.size - read_to_);
    buffer_.resize(have + want);
    const ssize_t got = ::pread(fd_, buffer_.data() + have, want, static_cast<off_t>(read_to_));
    if (got < 0) return IoError("read", file.path, errno);
    if (got == 0) return Error(ErrorCode::kIo, file.path + " became shorter while it was read");
    buffer_.resize(have + static_cast<size_t>(got));
    read_to_ += static_cast<uint64_t>(got);
    return Status::OK();
  }

  void CloseFile() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  SourceSpec spec_;
  std::string path_;
  bool skip_bad_ = false;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<format::Decoder> decoder_;
  std::atomic<bool> closed_{false};

  std::vector<File> files_;
  size_t file_ = 0;
  uint64_t position_ = 0;  // of the next line in the current file
  int fd_ = -1;
  std::string buffer_;
  size_t buffer_at_ = 0;
  uint64_t read_to_ = 0;
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
