#include "lsm/sst/compression.h"

#include <arrow/util/compression.h>

#include <string>
#include <utility>

namespace marble::lsm {

std::string_view CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return "none";
    case Compression::kLz4:
      return "lz4";
    case Compression::kZstd:
      return "zstd";
  }
  return "?";
}

std::optional<Compression> CompressionOfNumber(uint64_t number) {
  if (number > static_cast<uint64_t>(Compression::kZstd)) return std::nullopt;
  return static_cast<Compression>(number);
}

Result<Compression> CompressionNamed(std::string_view name, std::string_view option) {
  for (const Compression one : {Compression::kNone, Compression::kLz4, Compression::kZstd}) {
    if (CompressionName(one) == name) return one;
  }
  return MakeError(ErrorCode::kInvalidArgument,
                   std::string(option) + ": there is no compression '" + std::string(name) +
                       "'; there are 'none', 'lz4' and 'zstd'");
}

Result<std::shared_ptr<arrow::util::Codec>> MakeCodec(Compression compression) {
  const arrow::Compression::type type =
      compression == Compression::kLz4 ? arrow::Compression::LZ4_FRAME : arrow::Compression::ZSTD;
  if (compression == Compression::kNone || !arrow::util::Codec::IsAvailable(type)) {
    return MakeError(ErrorCode::kNotSupported, "this build of Arrow cannot compress with '" +
                                                   std::string(CompressionName(compression)) +
                                                   "'; use another compression");
  }
  MARBLE_ASSIGN_OR_RETURN(auto codec, arrow::util::Codec::Create(type));
  return std::shared_ptr<arrow::util::Codec>(std::move(codec));
}

}  // namespace marble::lsm
