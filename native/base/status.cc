#include "base/status.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace marble {
namespace {

constexpr char kDetailTypeId[] = "marble::ErrorDetail";

class ErrorDetail : public arrow::StatusDetail {
 public:
  explicit ErrorDetail(ErrorCode code) : code_(code) {}
  const char* type_id() const override { return kDetailTypeId; }
  std::string ToString() const override { return std::string(ErrorCodeName(code_)); }
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

constexpr struct {
  ErrorCode code;
  std::string_view name;
} kNames[] = {
    {ErrorCode::kInternal, "MARBLE_INTERNAL"},
    {ErrorCode::kInvalidArgument, "MARBLE_INVALID_ARGUMENT"},
    {ErrorCode::kCorruption, "MARBLE_CORRUPTION"},
    {ErrorCode::kIo, "MARBLE_IO"},
    {ErrorCode::kNoSpace, "MARBLE_NO_SPACE"},
    {ErrorCode::kBusy, "MARBLE_BUSY"},
    {ErrorCode::kLocked, "MARBLE_LOCKED"},
    {ErrorCode::kReadOnly, "MARBLE_READ_ONLY"},
    {ErrorCode::kAborted, "MARBLE_ABORTED"},
    {ErrorCode::kTimedOut, "MARBLE_TIMED_OUT"},
    {ErrorCode::kFenced, "MARBLE_FENCED"},
    {ErrorCode::kClosed, "MARBLE_CLOSED"},
    {ErrorCode::kIncompatible, "MARBLE_INCOMPATIBLE"},
    {ErrorCode::kIncompatibleState, "MARBLE_INCOMPATIBLE_STATE"},
    {ErrorCode::kSchema, "MARBLE_SCHEMA"},
    {ErrorCode::kSchemaChanged, "MARBLE_SCHEMA_CHANGED"},
    {ErrorCode::kTableNotFound, "MARBLE_TABLE_NOT_FOUND"},
    {ErrorCode::kTableExists, "MARBLE_TABLE_EXISTS"},
    {ErrorCode::kColumnNotFound, "MARBLE_COLUMN_NOT_FOUND"},
    {ErrorCode::kNotFound, "MARBLE_NOT_FOUND"},
    {ErrorCode::kNotSupported, "MARBLE_NOT_SUPPORTED"},
    {ErrorCode::kTooLarge, "MARBLE_TOO_LARGE"},
    {ErrorCode::kTooFarBehind, "MARBLE_TOO_FAR_BEHIND"},
    {ErrorCode::kKafka, "MARBLE_KAFKA"},
    {ErrorCode::kBadRecord, "MARBLE_BAD_RECORD"},
    {ErrorCode::kPlan, "MARBLE_PLAN"},
};

constexpr ErrorCode kAllCodes[] = {
    ErrorCode::kInternal,       ErrorCode::kInvalidArgument,
    ErrorCode::kCorruption,     ErrorCode::kIo,
    ErrorCode::kNoSpace,        ErrorCode::kBusy,
    ErrorCode::kLocked,         ErrorCode::kReadOnly,
    ErrorCode::kAborted,        ErrorCode::kTimedOut,
    ErrorCode::kFenced,         ErrorCode::kClosed,
    ErrorCode::kIncompatible,   ErrorCode::kIncompatibleState,
    ErrorCode::kSchema,         ErrorCode::kSchemaChanged,
    ErrorCode::kTableNotFound,  ErrorCode::kTableExists,
    ErrorCode::kColumnNotFound, ErrorCode::kNotFound,
    ErrorCode::kNotSupported,   ErrorCode::kTooLarge,
    ErrorCode::kTooFarBehind,   ErrorCode::kKafka,
    ErrorCode::kBadRecord,      ErrorCode::kPlan,
};

arrow::StatusCode ArrowCode(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kSchema:
    case ErrorCode::kSchemaChanged:
    case ErrorCode::kPlan:
    case ErrorCode::kBadRecord:
      return arrow::StatusCode::Invalid;
    case ErrorCode::kTableNotFound:
    case ErrorCode::kColumnNotFound:
    case ErrorCode::kNotFound:
      return arrow::StatusCode::KeyError;
    case ErrorCode::kNotSupported:
      return arrow::StatusCode::NotImplemented;
    case ErrorCode::kIo:
    case ErrorCode::kNoSpace:
    case ErrorCode::kCorruption:
      return arrow::StatusCode::IOError;
    case ErrorCode::kAborted:
      return arrow::StatusCode::Cancelled;
    default:
      return arrow::StatusCode::UnknownError;
  }
}

}  // namespace

std::string_view ErrorCodeName(ErrorCode code) {
  for (const auto& entry : kNames) {
    if (entry.code == code) return entry.name;
  }
  return "MARBLE_INTERNAL";
}

std::pair<const ErrorCode*, size_t> AllErrorCodes() { return {kAllCodes, std::size(kAllCodes)}; }

Status MakeError(ErrorCode code, std::string message) {
  return Status(ArrowCode(code), std::move(message), std::make_shared<ErrorDetail>(code));
}

ErrorCode CodeOf(const Status& status) {
  const auto& detail = status.detail();
  if (detail != nullptr && std::strcmp(detail->type_id(), kDetailTypeId) == 0) {
    return static_cast<const ErrorDetail&>(*detail).code();
  }
  if (status.IsInvalid() || status.IsTypeError() || status.IsIndexError()) {
    return ErrorCode::kInvalidArgument;
  }
  if (status.IsKeyError()) return ErrorCode::kNotFound;
  if (status.IsNotImplemented()) return ErrorCode::kNotSupported;
  if (status.IsIOError()) return ErrorCode::kIo;
  if (status.IsCancelled()) return ErrorCode::kAborted;
  return ErrorCode::kInternal;
}

std::string MessageOf(const Status& status) { return status.message(); }

Status IoError(std::string_view what, std::string_view path, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  std::string message(what);
  message.append(" ").append(path).append(": ").append(std::strerror(error_number));
  return MakeError(full ? ErrorCode::kNoSpace : ErrorCode::kIo, std::move(message));
}

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "marbledb: check failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace marble
