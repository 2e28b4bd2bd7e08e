#include "lsm/version/version_edit.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/api.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/coding.h"
#include "base/limits.h"

namespace marble::lsm {
namespace {

// Fields of an edit: tag(varint) length(varint) bytes. Odd tags are optional: skipped when
// unknown. Tags are never reused.
enum Tag : uint64_t {
  kCreateTable = 2,
  kDropTable = 4,
  kAddFile = 6,
  kRemoveFile = 8,
  kNextFileNumber = 10,
  kNextTableId = 12,
  kLogFirstSegment = 14,
  kLogPosition = 16,
  kLastSequence = 18,
  kFixedEnds = 20,
  kTableColumns = 22,
  kCompression = 24,
  kCutPoints = 31,
};

constexpr bool IsOptional(uint64_t tag) { return (tag & 1) != 0; }

void PutField(std::string* out, Tag tag, std::string_view bytes) {
  PutVarint(out, tag);
  PutLengthPrefixed(out, bytes);
}
void PutNumber(std::string* out, Tag tag, uint64_t value) {
  std::string bytes;
  PutVarint(&bytes, value);
  PutField(out, tag, bytes);
}

constexpr uint64_t kStateFamily = 1;
constexpr uint64_t kSystem = 2;
constexpr uint64_t kPointIndex = 4;
constexpr uint64_t kZoneMaps = 8;
constexpr uint64_t kLazyIndex = 16;
constexpr uint64_t kUnlogged = 32;

Status PutSchema(std::string* out, const arrow::Schema& schema) {
  MARBLE_ASSIGN_OR_RETURN(const auto message, arrow::ipc::SerializeSchema(schema));
  PutLengthPrefixed(out, std::string_view(*message));
  return Status::OK();
}
Result<std::shared_ptr<arrow::Schema>> DecodeSchema(std::string_view message) {
  // The schema must not point into the manifest's buffer.
  arrow::io::BufferReader stream(arrow::Buffer::FromString(std::string(message)));
  arrow::ipc::DictionaryMemo no_dictionaries;
  return arrow::ipc::ReadSchema(&stream, &no_dictionaries);
}

Result<std::string> EncodeColumns(const TableColumns& columns) {
  std::string out;
  PutVarint(&out, columns.table);
  MARBLE_RETURN_NOT_OK(PutSchema(&out, *columns.schema));
  PutVarint(&out, columns.key_columns.size());
  for (int column : columns.key_columns) PutVarint(&out, static_cast<uint64_t>(column));
  PutVarint(&out, columns.next_field_id);
  for (uint32_t id : columns.field_ids) PutVarint(&out, id);
  return out;
}

Result<std::string> EncodeTable(const TableDescriptor& table) {
  std::string out;
  PutVarint(&out, table.id);
  PutLengthPrefixed(&out, table.name);
  MARBLE_RETURN_NOT_OK(PutSchema(&out, *table.schema));
  PutVarint(&out, table.key_columns.size());
  for (int column : table.key_columns) PutVarint(&out, static_cast<uint64_t>(column));
  const TableOptions& o = table.options;
  PutVarint(&out, (table.is_state_family ? kStateFamily : 0) | (table.is_system ? kSystem : 0) |
                      (o.point_index ? kPointIndex : 0) | (o.zone_maps ? kZoneMaps : 0) |
                      (o.lazy_index ? kLazyIndex : 0) | (o.logged ? 0 : kUnlogged));
  PutFixed<double>(&out, o.bloom_bits_per_key);
  PutVarint(&out, static_cast<uint64_t>(o.batch_rows));
  PutVarint(&out, static_cast<uint64_t>(o.batch_bytes));
  PutVarint(&out, static_cast<uint64_t>(o.ttl_ms));
  PutLengthPrefixed(&out, o.merge_operator);
  return out;
}

Status Malformed(const char* what) {
  return MakeError(ErrorCode::kCorruption, std::string("manifest: malformed ") + what);
}

Result<TableDescriptor> DecodeTable(std::string_view bytes) {
  Decoder in(bytes);
  TableDescriptor table;
  uint64_t id, keys, flags, rows, batch_bytes;
  std::string_view name, schema;
  if (!in.Varint(&id) || !in.LengthPrefixed(&name) || !in.LengthPrefixed(&schema) ||
      !in.Varint(&keys) || keys > bytes.size()) {
    return Malformed("table");
  }
  table.id = static_cast<TableId>(id);
  table.name = name;
  for (uint64_t i = 0; i < keys; ++i) {
    uint64_t column;
    if (!in.Varint(&column)) return Malformed("table");
    table.key_columns.push_back(static_cast<int>(column));
  }
  if (!in.Varint(&flags) || !in.Fixed(&table.options.bloom_bits_per_key) || !in.Varint(&rows) ||
      !in.Varint(&batch_bytes)) {
    return Malformed("table");
  }
  // The first manifests ended here.
  uint64_t ttl_ms = 0;
  std::string_view merge_operator;
  if (in.remaining() > 0 && (!in.Varint(&ttl_ms) || !in.LengthPrefixed(&merge_operator))) {
    return Malformed("table");
  }
  table.is_state_family = flags & kStateFamily;
  table.is_system = flags & kSystem;
  table.options.point_index = flags & kPointIndex;
  table.options.zone_maps = flags & kZoneMaps;
  table.options.lazy_index = flags & kLazyIndex;
  table.options.logged = (flags & kUnlogged) == 0;
  table.options.ttl_ms = static_cast<int64_t>(ttl_ms);
  table.options.merge_operator = merge_operator;
  table.options.batch_rows = static_cast<int64_t>(rows);
  table.options.batch_bytes = static_cast<int64_t>(batch_bytes);
  MARBLE_ASSIGN_OR_RETURN(table.schema, DecodeSchema(schema));
  table.next_field_id = static_cast<uint32_t>(table.schema->num_fields()) + 1;
  for (uint32_t field = 1; field < table.next_field_id; ++field) table.field_ids.push_back(field);
  return table;
}

Result<TableColumns> DecodeColumns(std::string_view bytes) {
  Decoder in(bytes);
  TableColumns columns;
  uint64_t table, keys, next;
  std::string_view schema;
  if (!in.Varint(&table) || !in.LengthPrefixed(&schema) || !in.Varint(&keys) ||
      keys > bytes.size()) {
    return Malformed("columns of a table");
  }
  columns.table = static_cast<TableId>(table);
  for (uint64_t i = 0; i < keys; ++i) {
    uint64_t column;
    if (!in.Varint(&column) || column > bytes.size()) return Malformed("columns of a table");
    columns.key_columns.push_back(static_cast<int>(column));
  }
  if (!in.Varint(&next) || next > UINT32_MAX) return Malformed("columns of a table");
  columns.next_field_id = static_cast<uint32_t>(next);
  while (in.remaining() > 0) {
    uint64_t id;
    if (!in.Varint(&id) || id == 0 || id >= next) return Malformed("columns of a table");
    columns.field_ids.push_back(static_cast<uint32_t>(id));
  }
  MARBLE_ASSIGN_OR_RETURN(columns.schema, DecodeSchema(schema));
  if (columns.field_ids.size() != static_cast<size_t>(columns.schema->num_fields())) {
    return Malformed("columns of a table");
  }
  return columns;
}

Status DecodeCompression(Decoder* in, std::vector<TableDescriptor>* tables) {
  uint64_t table, codec, count;
  if (!in->Varint(&table) || !in->Varint(&codec) || !in->Varint(&count) ||
      count > static_cast<uint64_t>(limits::kNumLevels)) {
    return Malformed("compression");
  }
  const auto it = std::find_if(tables->begin(), tables->end(),
                               [&](const TableDescriptor& t) { return t.id == table; });
  if (it == tables->end()) return Malformed("compression: of no table");
  const auto of_all = CompressionOfNumber(codec);
  if (!of_all) return Malformed("compression");
  it->options.compression = *of_all;
  it->options.compression_per_level.clear();
  while (count-- > 0) {
    const auto one = in->Varint(&codec) ? CompressionOfNumber(codec) : std::nullopt;
    if (!one) return Malformed("compression");
    it->options.compression_per_level.push_back(*one);
  }
  if (in->remaining() > 0) return Malformed("compression");
  return Status::OK();
}

std::string EncodeFile(const FileMeta& file) {
  std::string out;
  PutVarint(&out, file.number);
  PutVarint(&out, file.table);
  PutVarint(&out, static_cast<uint64_t>(file.level));
  PutVarint(&out, file.arrow_bytes);
  PutVarint(&out, file.idx_bytes);
  PutVarint(&out, file.rows);
  PutVarint(&out, file.tombstones);
  PutVarint(&out, file.min_sequence);
  PutVarint(&out, file.max_sequence);
  PutLengthPrefixed(&out, file.min_key);
  PutLengthPrefixed(&out, file.max_key);
  PutVarint(&out, file.clean ? 1 : 0);
  PutFixed<uint32_t>(&out, file.idx_crc);
  if (file.compression != Compression::kNone) {
    PutVarint(&out, static_cast<uint64_t>(file.compression));
    PutVarint(&out, file.plain_bytes);
  }
  return out;
}

Result<FileMeta> DecodeFile(std::string_view bytes) {
  Decoder in(bytes);
  FileMeta file;
  uint64_t table, level, flags;
  std::string_view min_key, max_key;
  if (!in.Varint(&file.number) || !in.Varint(&table) || !in.Varint(&level) ||
      !in.Varint(&file.arrow_bytes) || !in.Varint(&file.idx_bytes) || !in.Varint(&file.rows) ||
      !in.Varint(&file.tombstones) || !in.Varint(&file.min_sequence) ||
      !in.Varint(&file.max_sequence) || !in.LengthPrefixed(&min_key) ||
      !in.LengthPrefixed(&max_key) || !in.Varint(&flags) || !in.Fixed(&file.idx_crc)) {
    return Malformed("file");
  }
  if (in.remaining() > 0) {  // it is compressed
    uint64_t codec = 0;
    const bool read = in.Varint(&codec) && in.Varint(&file.plain_bytes);
    const auto compression = CompressionOfNumber(codec);
    if (!read || !compression || *compression == Compression::kNone) return Malformed("file");
    file.compression = *compression;
  }
  file.table = static_cast<TableId>(table);
  file.level = static_cast<int>(level);
  file.min_key = min_key;
  file.max_key = max_key;
  file.clean = flags & 1;
  return file;
}

}  // namespace

Result<std::string> VersionEdit::Encode() const {
  std::string out;
  for (const auto& table : created_tables) {
    MARBLE_ASSIGN_OR_RETURN(const std::string bytes, EncodeTable(table));
    PutField(&out, kCreateTable, bytes);
  }
  for (const auto& table : created_tables) {
    const auto& points = table.options.cut_points;
    if (points.empty()) continue;
    std::string bytes;
    PutVarint(&bytes, table.id);
    PutVarint(&bytes, points.size());
    for (const std::string& key : points) PutLengthPrefixed(&bytes, key);
    PutField(&out, kCutPoints, bytes);
  }
  for (const auto& table : created_tables) {
    if (HasFirstFieldIds(table)) continue;
    MARBLE_ASSIGN_OR_RETURN(const std::string bytes, EncodeColumns(TableColumns::Of(table)));
    PutField(&out, kTableColumns, bytes);
  }
  for (const auto& columns : altered_tables) {
    MARBLE_ASSIGN_OR_RETURN(const std::string bytes, EncodeColumns(columns));
    PutField(&out, kTableColumns, bytes);
  }
  for (const auto& table : created_tables) {
    const TableOptions& options = table.options;
    if (options.compression == Compression::kNone && options.compression_per_level.empty())
      continue;
    std::string bytes;
    PutVarint(&bytes, table.id);
    PutVarint(&bytes, static_cast<uint64_t>(options.compression));
    PutVarint(&bytes, options.compression_per_level.size());
    for (const Compression one : options.compression_per_level) {
      PutVarint(&bytes, static_cast<uint64_t>(one));
    }
    PutField(&out, kCompression, bytes);
  }
  for (TableId id : dropped_tables) PutNumber(&out, kDropTable, id);
  for (const auto& [table, number] : removed_files) {
    std::string bytes;
    PutVarint(&bytes, table);
    PutVarint(&bytes, number);
    PutField(&out, kRemoveFile, bytes);
  }
  for (const auto& file : added_files) PutField(&out, kAddFile, EncodeFile(file));
  if (next_file_number) PutNumber(&out, kNextFileNumber, *next_file_number);
  if (next_table_id) PutNumber(&out, kNextTableId, *next_table_id);
  if (log_first_segment) PutNumber(&out, kLogFirstSegment, *log_first_segment);
  if (log_position) PutNumber(&out, kLogPosition, *log_position);
  if (last_sequence) PutNumber(&out, kLastSequence, *last_sequence);
  if (fixed_ends) {
    std::string bytes;
    for (const FixedEnd& end : *fixed_ends) {
      PutVarint(&bytes, end.segment_id);
      PutVarint(&bytes, end.end_offset);
    }
    PutField(&out, kFixedEnds, bytes);
  }
  return out;
}

Result<VersionEdit> VersionEdit::Decode(std::string_view bytes) {
  VersionEdit edit;
  Decoder in(bytes);
  while (in.remaining() > 0) {
    uint64_t tag;
    std::string_view field;
    if (!in.Varint(&tag) || !in.LengthPrefixed(&field)) return Malformed("edit");
    Decoder value(field);
    uint64_t number = 0;
    const auto read_number = [&] { return value.Varint(&number) && value.remaining() == 0; };
    switch (tag) {
      case kCreateTable: {
        MARBLE_ASSIGN_OR_RETURN(auto table, DecodeTable(field));
        edit.created_tables.push_back(std::move(table));
        break;
      }
      case kCutPoints: {
        uint64_t table, count;
        if (!value.Varint(&table) || !value.Varint(&count)) return Malformed("cut points");
        const auto it = std::find_if(edit.created_tables.begin(), edit.created_tables.end(),
                                     [&](const TableDescriptor& t) { return t.id == table; });
        if (it == edit.created_tables.end()) return Malformed("cut points: of no table");
        while (count-- > 0) {
          std::string_view key;
          if (!value.LengthPrefixed(&key)) return Malformed("cut points");
          it->options.cut_points.emplace_back(key);
        }
        break;
      }
      case kTableColumns: {
        MARBLE_ASSIGN_OR_RETURN(auto columns, DecodeColumns(field));
        edit.altered_tables.push_back(std::move(columns));
        break;
      }
      case kCompression: {
        MARBLE_RETURN_NOT_OK(DecodeCompression(&value, &edit.created_tables));
        break;
      }
      case kDropTable:
        if (!read_number()) return Malformed("drop");
        edit.dropped_tables.push_back(static_cast<TableId>(number));
        break;
      case kAddFile: {
        MARBLE_ASSIGN_OR_RETURN(auto file, DecodeFile(field));
        edit.added_files.push_back(std::move(file));
        break;
      }
      case kRemoveFile: {
        uint64_t table;
        if (!value.Varint(&table) || !value.Varint(&number)) return Malformed("removal");
        edit.removed_files.emplace_back(static_cast<TableId>(table), number);
        break;
      }
      case kNextFileNumber:
        if (!read_number()) return Malformed("number");
        edit.next_file_number = number;
        break;
      case kNextTableId:
        if (!read_number()) return Malformed("number");
        edit.next_table_id = static_cast<TableId>(number);
        break;
      case kLogFirstSegment:
        if (!read_number()) return Malformed("number");
        edit.log_first_segment = number;
        break;
      case kLogPosition:
        if (!read_number()) return Malformed("number");
        edit.log_position = number;
        break;
      case kLastSequence:
        if (!read_number()) return Malformed("number");
        edit.last_sequence = number;
        break;
      case kFixedEnds:
        edit.fixed_ends.emplace();
        while (value.remaining() > 0) {
          FixedEnd end{};
          if (!value.Varint(&end.segment_id) || !value.Varint(&end.end_offset)) {
            return Malformed("log ends");
          }
          edit.fixed_ends->push_back(end);
        }
        break;
      default:
        if (!IsOptional(tag)) {
          return MakeError(ErrorCode::kIncompatible,
                           "manifest: field " + std::to_string(tag) +
                               " is unknown to this version and may not be skipped; open the "
                               "database with the version that wrote it");
        }
    }
  }
  return edit;
}

Status ManifestState::Apply(const VersionEdit& edit) {
  const auto bad = [](const std::string& what) {
    return MakeError(ErrorCode::kCorruption, "manifest: " + what);
  };
  for (const auto& table : edit.created_tables) {
    if (!tables.emplace(table.id, table).second) {
      return bad("table " + std::to_string(table.id) + " is created twice");
    }
  }
  for (const TableColumns& columns : edit.altered_tables) {
    const auto it = tables.find(columns.table);
    if (it == tables.end()) {
      return bad("table " + std::to_string(columns.table) + " is altered but does not exist");
    }
    it->second.schema = columns.schema;
    it->second.key_columns = columns.key_columns;
    it->second.field_ids = columns.field_ids;
    it->second.next_field_id = columns.next_field_id;
  }
  for (const auto& [table, number] : edit.removed_files) {
    const auto it = files.find(number);
    if (it == files.end() || it->second.table != table) {
      return bad("file " + std::to_string(number) + " is removed but not live");
    }
    files.erase(it);
  }
  for (const auto& file : edit.added_files) {
    if (!files.emplace(file.number, file).second) {
      return bad("file " + std::to_string(file.number) + " is added twice");
    }
  }
  for (TableId id : edit.dropped_tables) {
    if (tables.erase(id) == 0) {
      return bad("table " + std::to_string(id) + " is dropped but does not exist");
    }
    std::erase_if(files, [id](const auto& entry) { return entry.second.table == id; });
  }
  if (edit.next_file_number) next_file_number = *edit.next_file_number;
  if (edit.next_table_id) next_table_id = *edit.next_table_id;
  if (edit.log_first_segment) log_first_segment = *edit.log_first_segment;
  if (edit.log_position) log_position = *edit.log_position;
  if (edit.last_sequence) last_sequence = *edit.last_sequence;
  if (edit.fixed_ends) fixed_ends = *edit.fixed_ends;
  std::erase_if(fixed_ends,
                [this](const FixedEnd& end) { return end.segment_id < log_first_segment; });
  return Status::OK();
}

VersionEdit ManifestState::Snapshot() const {
  VersionEdit edit;
  for (const auto& [id, table] : tables) edit.created_tables.push_back(table);
  for (const auto& [number, file] : files) edit.added_files.push_back(file);
  edit.next_file_number = next_file_number;
  edit.next_table_id = next_table_id;
  edit.log_first_segment = log_first_segment;
  edit.log_position = log_position;
  edit.last_sequence = last_sequence;
  edit.fixed_ends = fixed_ends;
  return edit;
}

Status ManifestState::CheckInvariants() const {
  const auto broken = [](const std::string& what) {
    return MakeError(ErrorCode::kInternal, "manifest invariant broken: " + what);
  };
  std::map<std::string, TableId> names;
  for (const auto& [id, table] : tables) {
    if (id != table.id || id >= next_table_id) {
      return broken("table id " + std::to_string(id) + " is out of range");
    }
    if (!names.emplace(table.name, id).second) {
      return broken("two tables are named '" + table.name + "'");
    }
  }
  std::map<std::pair<TableId, int>, std::vector<const FileMeta*>> runs;  // a level of a table
  std::map<TableId, std::vector<const FileMeta*>> appended;              // of tables without a key
  for (const auto& [number, file] : files) {
    const std::string name = "file " + std::to_string(number);
    const auto table = tables.find(file.table);
    if (table == tables.end()) return broken(name + " belongs to no table");
    if (number >= next_file_number) return broken(name + " has a number not yet given");
    if (file.rows == 0) return broken(name + " has no rows");
    if (file.min_key > file.max_key) return broken(name + " has its bounds reversed");
    if (file.min_sequence > file.max_sequence) {
      return broken(name + " has its sequences reversed");
    }
    if (file.tombstones > 0 && file.clean) return broken(name + " is not clean");
    if (file.max_sequence > last_sequence) {
      return broken(name + " holds a sequence beyond the last");
    }
    if (file.level < 0 || file.level >= limits::kNumLevels) {
      return broken(name + " lies in level " + std::to_string(file.level));
    }
    const bool keyed = !table->second.key_columns.empty();
    if (file.level > 0 && !keyed) {
      return broken(name + " of a table without a key lies in level " + std::to_string(file.level));
    }
    if (file.level > 0) runs[{file.table, file.level}].push_back(&file);
    if (!keyed) appended[file.table].push_back(&file);
  }
  for (auto& [table, files_of] : appended) {
    // Their order is the order of writing: a file may not reach back behind an earlier one.
    std::sort(files_of.begin(), files_of.end(), [](const FileMeta* a, const FileMeta* b) {
      return std::tie(a->max_sequence, a->number) < std::tie(b->max_sequence, b->number);
    });
    for (size_t i = 1; i < files_of.size(); ++i) {
      if (files_of[i]->min_sequence < files_of[i - 1]->min_sequence) {
        return broken("file " + std::to_string(files_of[i]->number) +
                      " of a table without a key reaches back behind file " +
                      std::to_string(files_of[i - 1]->number));
      }
    }
  }
  for (auto& [table_and_level, run] : runs) {
    std::sort(run.begin(), run.end(),
              [](const FileMeta* a, const FileMeta* b) { return a->min_key < b->min_key; });
    for (size_t i = 1; i < run.size(); ++i) {
      if (run[i - 1]->max_key >= run[i]->min_key) {
        return broken("files " + std::to_string(run[i - 1]->number) + " and " +
                      std::to_string(run[i]->number) + " of level " +
                      std::to_string(table_and_level.second) + " overlap");
      }
    }
  }
  for (const FixedEnd& end : fixed_ends) {
    if (end.segment_id < log_first_segment) {
      return broken("an end is kept of a dropped log segment");
    }
  }
  return Status::OK();
}

}  // namespace marble::lsm
