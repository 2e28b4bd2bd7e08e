#include "lsm/table_info.h"

#include <arrow/api.h>
#include <arrow/util/compression.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <sstream>
#include <utility>

namespace marble::lsm {
namespace {

/// Whether values of this type can be stored; SSTables and the log hold plain Arrow buffers.
bool Storable(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::DICTIONARY:
    case arrow::Type::EXTENSION:
    case arrow::Type::RUN_END_ENCODED:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::LIST_VIEW:
    case arrow::Type::LARGE_LIST_VIEW:
      return false;
    default:
      break;
  }
  for (const auto& field : type.fields()) {
    if (!Storable(*field->type())) return false;
  }
  return true;
}

Status CheckCompression(const TableDescriptor& table) {
  const TableOptions& options = table.options;
  const auto bad = [&](const std::string& what) {
    return MakeError(ErrorCode::kInvalidArgument, "table '" + table.name + "': " + what);
  };
  const auto& levels = options.compression_per_level;
  if (!levels.empty() && options.compression != Compression::kNone) {
    return bad("it has compression and compressionPerLevel; leave one of them out");
  }
  if (levels.size() > static_cast<size_t>(limits::kNumLevels)) {
    return bad("compressionPerLevel has " + std::to_string(levels.size()) +
               " entries; there are levels 0 to " + std::to_string(limits::kNumLevels - 1));
  }
  if (levels.size() > 1 && table.key_columns.empty()) {
    return bad(
        "compressionPerLevel has several entries, but without a primary key all files are in level "
        "0; use compression");
  }
  for (int level = 0; level < limits::kNumLevels; ++level) {
    const Compression compression = options.CompressionAt(level);
    if (compression != Compression::kNone) MARBLE_RETURN_NOT_OK(MakeCodec(compression).status());
  }
  return Status::OK();
}

std::string CompressionNames(const std::vector<Compression>& levels) {
  std::string names;
  for (const Compression one : levels) {
    if (!names.empty()) names += ", ";
    names += CompressionName(one);
  }
  return levels.empty() ? "not set" : "[" + names + "]";
}

std::string KeyNames(const TableDescriptor& d) {
  std::string names;
  for (int column : d.key_columns) {
    if (!names.empty()) names += ", ";
    names += d.schema->field(column)->name();
  }
  return names.empty() ? "none" : names;
}

Status GiveFieldIds(TableDescriptor* table) {
  const auto columns = static_cast<size_t>(table->schema->num_fields());
  std::vector<uint32_t>& ids = table->field_ids;
  if (ids.empty()) {
    ids.resize(columns);
    std::iota(ids.begin(), ids.end(), 1);
  }
  const uint32_t last = *std::max_element(ids.begin(), ids.end());
  if (table->next_field_id == 0) table->next_field_id = last + 1;
  const std::set<uint32_t> distinct(ids.begin(), ids.end());
  if (ids.size() != columns || distinct.size() != columns || *distinct.begin() == 0 ||
      last >= table->next_field_id) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + table->name + "': the ids of its columns do not fit them");
  }
  return Status::OK();
}

}  // namespace

bool HasFirstFieldIds(const TableDescriptor& table) {
  const std::vector<uint32_t>& ids = table.field_ids;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != i + 1) return false;
  }
  return ids.empty() || table.next_field_id == ids.size() + 1;
}

Result<std::shared_ptr<const TableInfo>> TableInfo::Make(TableDescriptor descriptor) {
  const std::string& name = descriptor.name;
  if (name.empty()) return MakeError(ErrorCode::kInvalidArgument, "a table needs a name");
  if (descriptor.schema == nullptr || descriptor.schema->num_fields() == 0) {
    return MakeError(ErrorCode::kSchema, "table '" + name + "' needs at least one column");
  }
  std::set<std::string> names;
  for (const auto& field : descriptor.schema->fields()) {
    if (!names.insert(field->name()).second) {
      return MakeError(ErrorCode::kSchema,
                       "table '" + name + "' has two columns named '" + field->name() + "'");
    }
    if (field->name() == kSeqColumn || field->name() == kKindColumn ||
        field->name() == kExpiresColumn) {
      return MakeError(ErrorCode::kSchema,
                       "table '" + name + "': column name '" + field->name() + "' is reserved");
    }
    if (!Storable(*field->type())) {
      return MakeError(ErrorCode::kNotSupported,
                       "table '" + name + "': column '" + field->name() + "' has type " +
                           field->type()->ToString() +
                           ", which cannot be stored; cast it to a plain type first");
    }
  }
  MARBLE_RETURN_NOT_OK(GiveFieldIds(&descriptor));
  auto info = std::make_shared<TableInfo>();
  if (!descriptor.key_columns.empty()) {
    std::vector<std::shared_ptr<arrow::Field>> key_fields;
    std::vector<int> key_positions;
    std::set<int> seen;
    for (int column : descriptor.key_columns) {
      if (column < 0 || column >= descriptor.schema->num_fields()) {
        return MakeError(ErrorCode::kInvalidArgument, "table '" + name + "': key column index " +
                                                          std::to_string(column) +
                                                          " is outside the schema");
      }
      if (!seen.insert(column).second) {
        return MakeError(ErrorCode::kInvalidArgument, "table '" + name + "': column '" +
                                                          descriptor.schema->field(column)->name() +
                                                          "' is in the primary key twice");
      }
      key_positions.push_back(static_cast<int>(key_fields.size()));
      key_fields.push_back(descriptor.schema->field(column));
    }
    MARBLE_ASSIGN_OR_RETURN(info->codec, KeyCodec::Make(descriptor.schema, descriptor.key_columns));
    info->key_schema = arrow::schema(std::move(key_fields));
    MARBLE_ASSIGN_OR_RETURN(info->key_codec, KeyCodec::Make(info->key_schema, key_positions));
  }
  if (descriptor.is_state_family) {
    const arrow::Schema& s = *descriptor.schema;
    if (s.num_fields() != 2 || s.field(0)->type()->id() != arrow::Type::BINARY ||
        s.field(1)->type()->id() != arrow::Type::BINARY || s.field(0)->nullable() ||
        descriptor.key_columns != std::vector<int>{0}) {
      return MakeError(ErrorCode::kSchema,
                       "state family '" + name +
                           "' must have the schema {key: binary not null, value: binary} "
                           "with key column 0");
    }
  }
  const TableOptions& options = descriptor.options;
  if (!options.merge_operator.empty() && !descriptor.is_state_family) {
    return MakeError(ErrorCode::kNotSupported,
                     "table '" + name + "': merge operators are for state families");
  }
  MARBLE_ASSIGN_OR_RETURN(info->merge_operator, FindMergeOperator(options.merge_operator));
  if (options.ttl_ms < 0) {
    return MakeError(ErrorCode::kInvalidArgument, "table '" + name + "': ttlMs is " +
                                                      std::to_string(options.ttl_ms) +
                                                      "; it is positive, or 0 for no expiry");
  }
  const auto& cuts = options.cut_points;
  if (!cuts.empty() && descriptor.key_columns.empty()) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "table '" + name + "' has cutPoints, but no primary key");
  }
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (cuts[i].empty() || (i > 0 && cuts[i - 1] >= cuts[i])) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "table '" + name + "': cutPoints must be encoded keys, not empty and " +
                           "ascending; number " + std::to_string(i + 1) + " is not");
    }
  }
  MARBLE_RETURN_NOT_OK(CheckCompression(descriptor));
  info->descriptor = std::move(descriptor);
  return std::shared_ptr<const TableInfo>(std::move(info));
}

std::string DescribeDifference(const TableDescriptor& a, const TableDescriptor& b) {
  if (a.is_state_family != b.is_state_family) {
    return a.is_state_family ? "it is a state family" : "it is a table, not a state family";
  }
  if (a.schema->num_fields() != b.schema->num_fields()) {
    return "it has " + std::to_string(a.schema->num_fields()) + " columns, not " +
           std::to_string(b.schema->num_fields());
  }
  for (int i = 0; i < a.schema->num_fields(); ++i) {
    const auto& x = *a.schema->field(i);
    const auto& y = *b.schema->field(i);
    if (!x.Equals(y, /*check_metadata=*/false)) {
      return "column " + std::to_string(i + 1) + " is " + x.ToString() + ", not " + y.ToString();
    }
  }
  if (a.key_columns != b.key_columns) {
    return "its primary key is (" + KeyNames(a) + "), not (" + KeyNames(b) + ")";
  }
  const TableOptions& p = a.options;
  const TableOptions& q = b.options;
  const auto differ = [](const char* what, auto x, auto y) {
    std::ostringstream text;  // 10, not 10.000000; true, not 1
    text << std::boolalpha << "option " << what << " is " << x << ", not " << y;
    return text.str();
  };
  if (p.bloom_bits_per_key != q.bloom_bits_per_key) {
    return differ("bloomBitsPerKey", p.bloom_bits_per_key, q.bloom_bits_per_key);
  }
  if (p.point_index != q.point_index) {
    return differ("pointIndex", p.point_index, q.point_index);
  }
  if (p.zone_maps != q.zone_maps) return differ("zoneMaps", p.zone_maps, q.zone_maps);
  if (p.batch_rows != q.batch_rows) return differ("batchRows", p.batch_rows, q.batch_rows);
  if (p.batch_bytes != q.batch_bytes) {
    return differ("batchBytes", p.batch_bytes, q.batch_bytes);
  }
  if (p.lazy_index != q.lazy_index) return differ("lazyIndex", p.lazy_index, q.lazy_index);
  if (p.merge_operator != q.merge_operator) {
    return "its mergeOperator is '" + p.merge_operator + "', not '" + q.merge_operator + "'";
  }
  if (p.ttl_ms != q.ttl_ms) return differ("ttlMs", p.ttl_ms, q.ttl_ms);
  if (p.logged != q.logged) return differ("logged", p.logged, q.logged);
  if (p.cut_points != q.cut_points) {
    return differ("cutPoints' count", p.cut_points.size(), q.cut_points.size()) +
           " (or they are others)";
  }
  if (p.compression != q.compression) {
    return differ("compression", CompressionName(p.compression), CompressionName(q.compression));
  }
  if (p.compression_per_level != q.compression_per_level) {
    return differ("compressionPerLevel", CompressionNames(p.compression_per_level),
                  CompressionNames(q.compression_per_level));
  }
  if (a.is_system != b.is_system) return differ("isSystem", a.is_system, b.is_system);
  return "";
}

}  // namespace marble::lsm
