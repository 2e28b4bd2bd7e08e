// Errors of the whole engine: arrow::Status with a detail that carries one of our codes.
//
// arrow::StatusCode has no Corruption, Busy or Locked; its extension point is StatusDetail.
// The TypeScript list in lib/errors.ts has the same names (kCorruption is MARBLE_CORRUPTION);
// a test compares the two. "Not found" is never an error: a lookup returns std::optional.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <string>
#include <string_view>
#include <utility>

namespace marble {

using arrow::Result;
using arrow::Status;

/// The closed list of error codes. Order is not part of any format.
enum class ErrorCode {
  kInternal,
  kInvalidArgument,
  kCorruption,
  kIo,
  kNoSpace,
  kBusy,
  kLocked,
  kReadOnly,
  kAborted,
  kTimedOut,
  kFenced,
  kClosed,
  kIncompatible,
  kIncompatibleState,
  kSchema,
  kSchemaChanged,
  kTableNotFound,
  kTableExists,
  kColumnNotFound,
  kNotFound,
  kNotSupported,
  kTooLarge,
  kTooFarBehind,
  kKafka,
  kBadRecord,
  kPlan,
};

/// The stable name of a code, "MARBLE_CORRUPTION" for kCorruption.
std::string_view ErrorCodeName(ErrorCode code);

/// All codes, for the test that compares them with the TypeScript list.
std::pair<const ErrorCode*, size_t> AllErrorCodes();

/// Make a failed Status with a code of ours. `message` names what, where and what to do.
Status MakeError(ErrorCode code, std::string message);

/// The code of a failed status: ours if it carries one, else the nearest to Arrow's own.
ErrorCode CodeOf(const Status& status);

/// The message of a status, without the prefix that Arrow puts before it.
std::string MessageOf(const Status& status);

/// A failed system call: "<what> <path>: <strerror>"; ENOSPC and EDQUOT become kNoSpace.
Status IoError(std::string_view what, std::string_view path, int error_number);

[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace marble

/// Abort where going on would corrupt data. Never on user input.
#define MARBLE_CHECK(expr) ((expr) ? (void)0 : ::marble::CheckFailed(#expr, __FILE__, __LINE__))
#ifdef NDEBUG
#define MARBLE_DCHECK(expr) ((void)0)
#else
/// Abort on a programmer's error; off in release builds.
#define MARBLE_DCHECK(expr) MARBLE_CHECK(expr)
#endif
#define MARBLE_RETURN_NOT_OK ARROW_RETURN_NOT_OK
#define MARBLE_ASSIGN_OR_RETURN ARROW_ASSIGN_OR_RAISE
