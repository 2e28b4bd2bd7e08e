// How the record batches of an .arrow file are compressed. The numbers are part of the formats.
#pragma once

#include <arrow/type_fwd.h>
#include <arrow/util/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace marble::lsm {

enum class Compression : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

/// 'none', 'lz4' or 'zstd'.
std::string_view CompressionName(Compression compression);
/// Nothing when there is no such compression.
std::optional<Compression> CompressionOfNumber(uint64_t number);
/// kInvalidArgument says which names there are; `option` is the one that has the name.
Result<Compression> CompressionNamed(std::string_view name, std::string_view option);

/// The codec; any thread may decode with it. kNotSupported when Arrow was built without it.
Result<std::shared_ptr<arrow::util::Codec>> MakeCodec(Compression compression);

}  // namespace marble::lsm
