#include "lsm/backup/inspect.h"

#include <arrow/api.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/arrow_types.h"
#include "lsm/backup/copy_file.h"
#include "lsm/backup/json_writer.h"
#include "lsm/sst/sst_reader.h"
#include "lsm/table_info.h"
#include "lsm/version/manifest_log.h"
#include "lsm/wal/log_format.h"

namespace marble::lsm {
namespace {

std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}

void ReadZones(const std::shared_ptr<io::FileSystem>& files, const std::string& dir,
               const TableInfo& info, InspectedFile* out) {
  SstReaderOptions options;
  options.dir = dir;
  options.schema = info.descriptor.schema;
  options.codec = info.codec;
  options.field_ids = info.descriptor.field_ids;
  options.file_system = files;
  const auto reader = SstReader::Open(options, out->meta);
  if (!reader.ok()) {
    out->error = MessageOf(reader.status());
    return;
  }
  const auto text = [](const std::shared_ptr<arrow::Scalar>& value) -> std::optional<std::string> {
    if (value == nullptr) return std::nullopt;
    // Bytes need not be text.
    if (arrow::is_binary(value->type->id()) || arrow::is_large_binary_like(value->type->id())) {
      return Hex(std::string_view(*static_cast<const arrow::BaseBinaryScalar&>(*value).value));
    }
    return value->ToString();
  };
  for (int64_t batch = 0; batch < (*reader)->num_batches(); ++batch) {
    for (int c = 0; c < info.descriptor.schema->num_fields(); ++c) {
      const SstReader::ZoneMap zone = (*reader)->zone_map(batch, c);
      out->zones.push_back({batch, info.descriptor.schema->field(c)->name(), text(zone.min),
                            text(zone.max), zone.null_count});
    }
  }
}

Status ReadSegment(io::FileSystem* files, const std::string& dir, const std::string& database_id,
                   InspectedSegment* out) {
  MARBLE_ASSIGN_OR_RETURN(const auto file,
                          files->OpenLog(dir + "/" + log_format::SegmentName(out->id)));
  out->file_bytes = file->size();
  std::string why;
  const auto header = log_format::DecodeSegmentHeader(file->data(), file->size(), &why);
  if (!header.ok() || !*header) {
    const bool blank = std::all_of(
        file->data(), file->data() + std::min(file->size(), log_format::kSegmentHeaderBytes),
        [](uint8_t byte) { return byte == 0; });
    out->end = blank ? "unused" : header.ok() ? why : MessageOf(header.status());
    return Status::OK();
  }
  const uint32_t seed =
      log_format::CrcSeed(reinterpret_cast<const uint8_t*>(database_id.data()), out->id);
  const size_t limit =
      out->fixed_end ? std::min<size_t>(file->size(), *out->fixed_end) : file->size();
  size_t offset = log_format::kSegmentHeaderBytes;
  out->end = "open";
  while (offset < limit) {
    log_format::RecordHeader record;
    log_format::RecordLayout layout;
    const char* reason = "";
    if (!log_format::DecodeRecord(file->data(), limit, offset, out->id, seed, &record, &layout,
                                  &reason)) {
      const bool zero =
          std::all_of(file->data() + offset, file->data() + std::min(limit, offset + size_t{48}),
                      [](uint8_t byte) { return byte == 0; });
      if (!zero) out->end = "offset " + std::to_string(offset) + ": " + reason;
      break;
    }
    offset = layout.end;
    const auto type = static_cast<RecordType>(record.type);
    if (type == RecordType::kSegmentEnd || type == RecordType::kCleanClose) {
      out->end = type == RecordType::kSegmentEnd ? "sealed" : "closed";
      break;
    }
    if (out->first_sequence == 0) out->first_sequence = record.sequence;
    out->last_sequence = record.sequence;
    if (type == RecordType::kWriteBatch) ++out->records;
  }
  out->used_bytes = offset;
  return Status::OK();
}

std::string FlagsOf(const TableOptions& o) {
  JsonWriter json;
  json.Open('{');
  char bits[32];
  std::snprintf(bits, sizeof bits, "%.17g", o.bloom_bits_per_key);
  json.Name("bloomBitsPerKey").Raw(bits);
  json.Name("pointIndex").Bool(o.point_index);
  json.Name("zoneMaps").Bool(o.zone_maps);
  json.Name("batchRows").Signed(o.batch_rows);
  json.Name("batchBytes").Signed(o.batch_bytes);
  json.Name("ttlMs").Signed(o.ttl_ms);
  json.Name("mergeOperator").String(o.merge_operator);
  json.Name("logged").Bool(o.logged);
  json.Name("lazyIndex").Bool(o.lazy_index);
  json.Name("compression").String(std::string(CompressionName(o.compression)));
  json.Name("compressionPerLevel").Open('[');
  for (const Compression one : o.compression_per_level) {
    json.String(std::string(CompressionName(one)));
  }
  json.Close(']');
  json.Name("cutPoints").Open('[');
  for (const std::string& key : o.cut_points) json.String(Hex(key));
  json.Close(']');
  return json.Close('}').Take();
}

void PutFile(JsonWriter* json, const InspectedFile& file) {
  const FileMeta& meta = file.meta;
  json->Open('{');
  json->Name("number").Number(meta.number).Name("level").Signed(meta.level);
  json->Name("arrow").String(SstArrowName(meta.number)).Name("idx").String(SstIdxName(meta.number));
  json->Name("arrowBytes").Number(meta.arrow_bytes).Name("idxBytes").Number(meta.idx_bytes);
  json->Name("compression").String(std::string(CompressionName(meta.compression)));
  json->Name("uncompressedBytes").Number(meta.uncompressed_bytes());
  json->Name("rows").Number(meta.rows).Name("tombstones").Number(meta.tombstones);
  json->Name("clean").Bool(meta.clean);
  json->Name("minSequence").Big(meta.min_sequence).Name("maxSequence").Big(meta.max_sequence);
  json->Name("minKey").String(Hex(meta.min_key)).Name("maxKey").String(Hex(meta.max_key));
  json->Name("present").Bool(file.present);
  if (!file.error.empty()) json->Name("error").String(file.error);
  if (!file.zones.empty()) {
    json->Name("zones").Open('[');
    for (const InspectedZone& zone : file.zones) {
      json->Open('{').Name("batch").Signed(zone.batch).Name("column").String(zone.column);
      json->Name("min").Text(zone.min).Name("max").Text(zone.max);
      json->Name("nulls");
      zone.null_count < 0 ? json->Raw("null") : json->Signed(zone.null_count);
      json->Close('}');
    }
    json->Close(']');
  }
  json->Close('}');
}

}  // namespace

Result<DatabaseInspection> InspectDatabase(const std::shared_ptr<io::FileSystem>& files,
                                           const std::string& given,
                                           const InspectOptions& options) {
  const std::string dir = WithoutSlash(given);
  MARBLE_ASSIGN_OR_RETURN(auto loaded, ManifestLog::Load(files.get(), dir));
  if (!loaded) return MakeError(ErrorCode::kNotFound, "there is no database in " + dir);
  const ManifestState& state = loaded->state;
  DatabaseInspection out;
  out.path = dir;
  out.database_id = Hex(state.database_id);
  out.id = state.integration_id;
  out.manifest = ManifestName(loaded->manifest_number);
  out.manifest_torn = loaded->torn_tail;
  out.next_file_number = state.next_file_number;
  out.next_table_id = state.next_table_id;
  out.log_first_segment = state.log_first_segment;
  out.log_position = state.log_position;
  out.flushed_sequence = out.last_sequence = state.last_sequence;

  std::map<TableId, InspectedTable> tables;
  for (const auto& [id, descriptor] : state.tables) tables[id].descriptor = descriptor;
  for (const auto& [number, meta] : state.files) {
    InspectedTable& table = tables[meta.table];
    InspectedFile file;
    file.meta = meta;
    file.present = files->Size(dir + "/" + SstArrowName(number)).ValueOr(0) == meta.arrow_bytes &&
                   files->Size(dir + "/" + SstIdxName(number)).ValueOr(0) == meta.idx_bytes;
    if (options.zone_maps) {
      MARBLE_ASSIGN_OR_RETURN(const auto info, TableInfo::Make(table.descriptor));
      ReadZones(files, dir, *info, &file);
    }
    table.rows += meta.rows;
    table.bytes += meta.arrow_bytes + meta.idx_bytes;
    table.uncompressed_bytes += meta.uncompressed_bytes() + meta.idx_bytes;
    table.files.push_back(std::move(file));
  }
  for (auto& [id, table] : tables) {
    std::sort(table.files.begin(), table.files.end(),
              [](const InspectedFile& a, const InspectedFile& b) {
                return std::tie(a.meta.level, a.meta.min_key, a.meta.number) <
                       std::tie(b.meta.level, b.meta.min_key, b.meta.number);
              });
    out.tables.push_back(std::move(table));
  }
  MARBLE_ASSIGN_OR_RETURN(auto names, files->List(dir));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    uint64_t number;
    if (const auto id = log_format::ParseSegmentName(name)) {
      InspectedSegment segment;
      segment.id = *id;
      segment.needed = *id >= state.log_first_segment;
      for (const FixedEnd& end : state.fixed_ends) {
        if (end.segment_id != *id) continue;
        segment.fixed_end = end.end_offset;
        segment.needed &= end.end_offset > 0;
      }
      const Status read = ReadSegment(files.get(), dir, state.database_id, &segment);
      if (!read.ok()) segment.end = MessageOf(read);
      if (segment.needed) out.last_sequence = std::max(out.last_sequence, segment.last_sequence);
      out.segments.push_back(std::move(segment));
    } else if (ParseNumberedName(name, "", ".arrow", &number) ||
               ParseNumberedName(name, "", ".idx", &number)) {
      if (!state.files.contains(number)) out.other_files.push_back(name);
    } else if (name != kCurrentName && name != "LOCK" && name != out.manifest) {
      out.other_files.push_back(name);
    }
  }
  return out;
}

Result<std::string> InspectionToJson(const DatabaseInspection& in) {
  JsonWriter json;
  json.Open('{');
  json.Name("path").String(in.path).Name("databaseId").String(in.database_id);
  json.Name("id").String(in.id).Name("manifest").String(in.manifest);
  json.Name("manifestTorn").Bool(in.manifest_torn);
  json.Name("nextFileNumber").Number(in.next_file_number);
  json.Name("nextTableId").Number(in.next_table_id);
  json.Name("logFirstSegment").Number(in.log_first_segment);
  json.Name("logPosition").Big(in.log_position);
  json.Name("flushedSequence").Big(in.flushed_sequence);
  json.Name("lastSequence").Big(in.last_sequence);
  json.Name("tables").Open('[');
  for (const InspectedTable& table : in.tables) {
    const TableDescriptor& d = table.descriptor;
    MARBLE_ASSIGN_OR_RETURN(const std::string schema, SchemaToJson(*d.schema));
    json.Open('{');
    json.Name("id").Number(d.id).Name("name").String(d.name);
    json.Name("isState").Bool(d.is_state_family).Name("isSystem").Bool(d.is_system);
    json.Name("schema").Raw(schema);
    json.Name("primaryKey").Open('[');
    for (const int column : d.key_columns) json.String(d.schema->field(column)->name());
    json.Close(']');
    json.Name("options").Raw(FlagsOf(d.options));
    json.Name("rows").Number(table.rows).Name("bytes").Number(table.bytes);
    json.Name("uncompressedBytes").Number(table.uncompressed_bytes);
    json.Name("files").Open('[');
    for (const InspectedFile& file : table.files) PutFile(&json, file);
    json.Close(']').Close('}');
  }
  json.Close(']').Name("segments").Open('[');
  for (const InspectedSegment& segment : in.segments) {
    json.Open('{');
    json.Name("id").Number(segment.id).Name("file").String(log_format::SegmentName(segment.id));
    json.Name("fileBytes").Number(segment.file_bytes).Name("usedBytes").Number(segment.used_bytes);
    json.Name("records").Number(segment.records);
    json.Name("firstSequence").Big(segment.first_sequence);
    json.Name("lastSequence").Big(segment.last_sequence);
    json.Name("needed").Bool(segment.needed);
    if (segment.fixed_end) json.Name("fixedEnd").Number(*segment.fixed_end);
    json.Name("end").String(segment.end);
    json.Close('}');
  }
  json.Close(']').Name("otherFiles").Open('[');
  for (const std::string& name : in.other_files) json.String(name);
  json.Close(']').Close('}');
  return json.Take();
}

}  // namespace marble::lsm
