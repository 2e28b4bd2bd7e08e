#include "lsm/compaction/compaction_picker.h"

#include <algorithm>
#include <cmath>

namespace marble::lsm {
namespace {

constexpr int kLast = limits::kNumLevels - 1;
/// A level that the rule of targets wants smaller than this part of base_bytes gets this much, or
/// level 0 would be larger than the level it is merged into.
constexpr uint64_t kMinTargetPart = 4;
/// Levels are given up at half the size at which they are made, so that a table at the border
/// does not make and drain one again and again.
constexpr double kDrainHysteresis = 2;
/// Files of level 0 are merged with each other first when the base level is this much larger.
constexpr uint64_t kMergeFirstRatio = 4;
/// A file this small is rather merged than moved, so that small files do not pile up.
constexpr uint64_t kMoveFilePart = 4;
/// How much more a byte of a file that is all tombstones counts.
constexpr double kTombstoneWeight = 2;
/// Tombstones are worth a compaction when they free this part of what it rewrites.
constexpr uint64_t kTombstonePart = 4;
/// So are sequences that nobody needs, when they are this part of a file.
constexpr uint64_t kSequencePart = 8;

struct Span {
  size_t begin;
  size_t end;
  bool empty() const { return begin == end; }
};

/// Files of a sorted level that overlap [min, max].
Span Overlapping(const PickerFiles& files, std::string_view min, std::string_view max) {
  const auto begin = std::lower_bound(
      files.begin(), files.end(), min,
      [](const PickerFile& file, std::string_view key) { return file.meta->max_key < key; });
  auto end = begin;
  while (end != files.end() && end->meta->min_key <= max) ++end;
  return {static_cast<size_t>(begin - files.begin()), static_cast<size_t>(end - files.begin())};
}

bool Overlap(const FileMeta& a, std::string_view min, std::string_view max) {
  return a.min_key <= max && a.max_key >= min;
}

bool IsInRange(const FileMeta& meta, const RangeWalk& walk) {
  return meta.max_key >= walk.from && (walk.to.empty() || meta.min_key < walk.to);
}

uint64_t BytesOf(const PickerFiles& files, Span span) {
  uint64_t bytes = 0;
  for (size_t i = span.begin; i < span.end; ++i) bytes += files[i].bytes();
  return bytes;
}

bool AnyBusy(const PickerFiles& files, Span span) {
  return std::any_of(files.begin() + static_cast<std::ptrdiff_t>(span.begin),
                     files.begin() + static_cast<std::ptrdiff_t>(span.end),
                     [](const PickerFile& file) { return file.busy; });
}
bool AnyBusy(const PickerFiles& files) { return AnyBusy(files, {0, files.size()}); }

bool Conflicts(const PickerTable& table, int level, std::string_view min, std::string_view max) {
  return std::any_of(table.running.begin(), table.running.end(),
                     [&](const PickerTable::Running& r) {
                       return r.output_level == level && r.min_key <= max && r.max_key >= min;
                     });
}

/// Whether no file of the levels [from, to] overlaps [min, max].
bool IsFree(const PickerTable& table, int from, int to, std::string_view min,
            std::string_view max) {
  for (int level = from; level <= to; ++level) {
    if (!Overlapping(table.levels[level], min, max).empty()) return false;
  }
  return true;
}

/// Where a file of `level` can move to: as deep as nothing stands in its way, at most to `deepest`;
/// `level` itself when it cannot.
int SlideTo(const PickerTable& table, int level, int deepest, std::string_view min,
            std::string_view max) {
  int to = level;
  while (to < deepest && Overlapping(table.levels[to + 1], min, max).empty()) ++to;
  while (to > level && Conflicts(table, to, min, max)) --to;
  return to;
}

/// A file's bytes, with tombstones counted as if they had size: what they delete has.
double Weight(const PickerFile& file) {
  const double dead = static_cast<double>(file.deletes()) /
                      static_cast<double>(std::max<uint64_t>(1, file.meta->rows));
  return static_cast<double>(file.bytes()) * (1 + kTombstoneWeight * dead);
}

/// Whether a rewrite of a file with nothing below it, when no snapshot needs anything in it, drops
/// versions, tombstones, operands or sequences.
bool IsRewritable(const PickerFile& file) {
  const FileMeta& meta = *file.meta;
  if (meta.tombstones > 0) return true;
  // Several versions of a key need their sequences. Of a clean file only the space counts.
  return file.has_seq &&
         (!meta.clean || meta.rows * sizeof(SequenceNumber) * kSequencePart >= file.bytes());
}

CompactionPlan NewPlan(CompactionReason reason, int input_level, int output_level) {
  CompactionPlan plan;
  plan.reason = reason;
  plan.input_level = input_level;
  plan.output_level = output_level;
  return plan;
}

void Add(const PickerFile& file, std::vector<FileNumber>* to, uint64_t* bytes,
         CompactionPlan* plan) {
  const FileMeta& meta = *file.meta;
  if (plan->inputs.empty() && plan->overlapped.empty()) {
    plan->min_key = meta.min_key;
    plan->max_key = meta.max_key;
  }
  plan->min_key = std::min(plan->min_key, meta.min_key);
  plan->max_key = std::max(plan->max_key, meta.max_key);
  to->push_back(meta.number);
  *bytes += file.bytes();
}
void AddInput(const PickerFile& file, CompactionPlan* plan) {
  Add(file, &plan->inputs, &plan->input_bytes, plan);
}

/// Widen the files overlapped in the output level by small neighbours, no larger than what is
/// merged: else appending little by little leaves many little files. Each byte is rewritten only
/// when what it lies with doubles.
void JoinNeighbours(const PickerFiles& files, uint64_t input_bytes, uint64_t small, Span* span) {
  uint64_t bytes = input_bytes + BytesOf(files, *span);
  const auto joins = [&](const PickerFile& file) {
    return !file.busy && bytes < small && file.bytes() < small && file.bytes() <= bytes;
  };
  while (span->begin > 0 && joins(files[span->begin - 1])) bytes += files[--span->begin].bytes();
  while (span->end < files.size() && joins(files[span->end])) bytes += files[span->end++].bytes();
}

}  // namespace

const char* CompactionReasonName(CompactionReason reason) {
  switch (reason) {
    case CompactionReason::kLevel0:
      return "level 0 has grown";
    case CompactionReason::kLevel0Merge:
      return "small files of level 0";
    case CompactionReason::kLevelBytes:
      return "the level has outgrown its target";
    case CompactionReason::kDrain:
      return "the level is not needed";
    case CompactionReason::kTombstones:
      return "tombstones";
    case CompactionReason::kBottommost:
      return "versions that no snapshot needs";
    case CompactionReason::kConcatenate:
      return "small files";
    case CompactionReason::kManual:
      return "asked for";
    case CompactionReason::kExpired:
      return "all rows have expired";
  }
  return "";
}

LevelShape CompactionPicker::Shape(const PickerTable& table) const {
  LevelShape shape;
  for (int level = 0; level <= kLast; ++level) {
    shape.bytes[level] = BytesOf(table.levels[level], {0, table.levels[level].size()});
  }
  if (!table.keyed) return shape;
  int first = kLast;
  uint64_t largest = 0;
  for (int level = kLast; level > 0; --level) {
    if (shape.bytes[level] > 0) first = level;
    largest = std::max(largest, shape.bytes[level]);
  }
  // The last level is to hold what the largest one does now.
  const auto base_bytes = static_cast<double>(options_.base_bytes);
  std::array<double, limits::kNumLevels> ideal{};
  ideal[kLast] = static_cast<double>(largest);
  for (int level = kLast - 1; level > 0; --level) {
    ideal[level] = ideal[level + 1] / options_.multiplier;
  }
  int wanted = kLast;
  while (wanted > 1 && ideal[wanted] > base_bytes) --wanted;
  shape.base_level = std::min(wanted, first);
  const uint64_t least = std::max<uint64_t>(1, options_.base_bytes / kMinTargetPart);
  for (int level = shape.base_level; level < kLast; ++level) {
    shape.target[level] = std::max(static_cast<uint64_t>(ideal[level]), least);
    // A level is not worth having when the next one could be the base.
    if ((level == shape.base_level || shape.drain_above == level) &&
        ideal[level + 1] * kDrainHysteresis <= base_bytes) {
      shape.drain_above = level + 1;
    }
  }

  const PickerFiles& level0 = table.levels[0];
  shape.score[0] = std::max(static_cast<double>(level0.size()) / std::max(2, options_.level0_files),
                            static_cast<double>(shape.bytes[0]) / base_bytes);
  uint64_t incoming = shape.score[0] >= 1 ? shape.bytes[0] : 0;
  if (incoming > 0) shape.pending_bytes = incoming + shape.bytes[shape.base_level];
  for (int level = shape.base_level; level < kLast; ++level) {
    double weight = 0;
    for (const PickerFile& file : table.levels[level]) {
      if (!file.busy) weight += Weight(file);
    }
    shape.score[level] = weight / static_cast<double>(shape.target[level]);
    if (level < shape.drain_above && weight > 0) {
      shape.score[level] = std::max(shape.score[level], 1.0);
    }
    const uint64_t size = shape.bytes[level] + incoming;
    incoming = size > shape.target[level] ? size - shape.target[level] : 0;
    if (incoming > 0) {
      const double fan_out =
          static_cast<double>(shape.bytes[level + 1]) / static_cast<double>(size);
      shape.pending_bytes += static_cast<uint64_t>(static_cast<double>(incoming) * (1 + fan_out));
    }
  }
  return shape;
}

CompactionPicker::Plan CompactionPicker::Pick(const PickerTable& table) const {
  if (!table.keyed) {
    return PickConcatenation(table, static_cast<size_t>(std::max(2, options_.level0_files)),
                             /*any_size=*/false);
  }
  const LevelShape shape = Shape(table);
  std::array<int, limits::kNumLevels> order;
  for (int level = 0; level <= kLast; ++level) order[level] = level;
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return shape.score[a] > shape.score[b]; });
  for (int level : order) {
    if (shape.score[level] < 1) break;
    Plan plan = level == 0                  ? PickLevel0(table, shape)
                : level < shape.drain_above ? PickDrain(table, shape)
                                            : PickLevel(table, level);
    if (plan) {
      plan->score = shape.score[level];
      return plan;
    }
  }
  if (Plan plan = PickTombstones(table, shape)) return plan;
  return PickBottommost(table);
}

// --- Level 0 ----------------------------------------------------------------------------------

CompactionPicker::Plan CompactionPicker::PickLevel0(const PickerTable& table,
                                                    const LevelShape& shape) const {
  const PickerFiles& files = table.levels[0];
  // Newer files must not overtake older ones that are on their way.
  if (files.empty() || AnyBusy(files)) return std::nullopt;
  if (Plan moves = PickMoves(table, shape.base_level, nullptr)) return moves;
  std::vector<size_t> all(files.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  Plan down = MergeLevel0(table, all, shape.base_level, CompactionReason::kLevel0);
  const auto many = static_cast<size_t>(std::max(2, options_.level0_most_files));
  if (!down) return files.size() >= many ? PickLevel0Merge(table) : std::nullopt;
  const bool costly = down->overlapped_bytes > kMergeFirstRatio * down->input_bytes;
  if (!costly) return down;
  if (Plan within = PickLevel0Merge(table)) return within;
  return files.size() < many ? std::nullopt : down;  // else a few more files are cheaper
}

/// Files that overlap neither another one of level 0 nor anything in the base level; of a manual
/// compaction, those in its range.
CompactionPicker::Plan CompactionPicker::PickMoves(const PickerTable& table, int base_level,
                                                   const RangeWalk* walk) const {
  const PickerFiles& files = table.levels[0];
  CompactionPlan plan = NewPlan(CompactionReason::kLevel0, 0, base_level);
  plan.move = true;
  for (size_t i = 0; i < files.size(); ++i) {
    const FileMeta& meta = *files[i].meta;
    const bool small = files.size() > 1 && files[i].bytes() < options_.file_bytes / kMoveFilePart;
    const bool alone = std::none_of(files.begin(), files.end(), [&](const PickerFile& other) {
      return &other != &files[i] && Overlap(*other.meta, meta.min_key, meta.max_key);
    });
    if (small || !alone || (walk != nullptr && !IsInRange(meta, *walk)) ||
        !IsFree(table, base_level, base_level, meta.min_key, meta.max_key) ||
        Conflicts(table, base_level, meta.min_key, meta.max_key)) {
      continue;
    }
    AddInput(files[i], &plan);
  }
  if (plan.inputs.empty()) return std::nullopt;
  return plan;
}

/// Neighbours in age of about one size, to be one file of level 0: as many as are no larger than
/// those before them together, so that each row is merged a logarithmic number of times.
CompactionPicker::Plan CompactionPicker::PickLevel0Merge(const PickerTable& table) const {
  const PickerFiles& files = table.levels[0];
  CompactionPlan plan = NewPlan(CompactionReason::kLevel0Merge, 0, 0);
  const size_t least = static_cast<size_t>(std::max(2, options_.level0_files - 1));
  for (const PickerFile& file : files) {
    if (file.busy || plan.input_bytes + file.bytes() > options_.max_job_bytes()) break;
    if (!plan.inputs.empty() && file.bytes() > plan.input_bytes) break;
    AddInput(file, &plan);
  }
  if (plan.inputs.size() < least) return std::nullopt;
  return plan;
}

CompactionPicker::Plan CompactionPicker::MergeLevel0(const PickerTable& table,
                                                     const std::vector<size_t>& inputs,
                                                     int base_level,
                                                     CompactionReason reason) const {
  CompactionPlan plan = NewPlan(reason, 0, base_level);
  for (size_t i : inputs) AddInput(table.levels[0][i], &plan);
  const PickerFiles& next = table.levels[base_level];
  Span span = Overlapping(next, plan.min_key, plan.max_key);
  JoinNeighbours(next, plan.input_bytes, options_.file_bytes / 2, &span);
  if (AnyBusy(next, span)) return std::nullopt;
  for (size_t i = span.begin; i < span.end; ++i) {
    Add(next[i], &plan.overlapped, &plan.overlapped_bytes, &plan);
  }
  if (Conflicts(table, base_level, plan.min_key, plan.max_key)) return std::nullopt;
  plan.move = inputs.size() == 1 && span.empty();
  return plan;
}

// --- Sorted levels ------------------------------------------------------------------------------

/// Files [begin, end) of a level into the next one.
CompactionPicker::Plan CompactionPicker::MergeDown(const PickerTable& table, int level,
                                                   size_t begin, size_t end,
                                                   CompactionReason reason) const {
  const PickerFiles& files = table.levels[level];
  const PickerFiles& next = table.levels[level + 1];
  if (AnyBusy(files, {begin, end})) return std::nullopt;
  Span span = Overlapping(next, files[begin].meta->min_key, files[end - 1].meta->max_key);
  if (AnyBusy(next, span)) return std::nullopt;
  if (!span.empty()) {
    // Neighbours that lie within the files that are rewritten anyway come along.
    const std::string_view min = next[span.begin].meta->min_key;
    const std::string_view max = next[span.end - 1].meta->max_key;
    uint64_t bytes = BytesOf(files, {begin, end}) + BytesOf(next, span);
    const auto joins = [&](const PickerFile& file) {
      return !file.busy && file.meta->min_key >= min && file.meta->max_key <= max &&
             bytes + file.bytes() <= options_.max_job_bytes();
    };
    while (begin > 0 && joins(files[begin - 1])) bytes += files[--begin].bytes();
    while (end < files.size() && joins(files[end])) bytes += files[end++].bytes();
  }
  CompactionPlan plan = NewPlan(reason, level, level + 1);
  for (size_t i = begin; i < end; ++i) AddInput(files[i], &plan);
  if (span.empty() && end - begin == 1) {
    // It moves, unless that made a file with too much below it for a later compaction.
    const uint64_t below =
        level + 2 > kLast
            ? 0
            : BytesOf(table.levels[level + 2],
                      Overlapping(table.levels[level + 2], plan.min_key, plan.max_key));
    Span joined = span;
    if (files[begin].bytes() < options_.file_bytes / kMoveFilePart) {
      JoinNeighbours(next, plan.input_bytes, options_.file_bytes / 2, &joined);
    }
    plan.move = joined.empty() && below <= options_.max_job_bytes();
    span = joined;
  }
  for (size_t i = span.begin; i < span.end; ++i) {
    Add(next[i], &plan.overlapped, &plan.overlapped_bytes, &plan);
  }
  if (Conflicts(table, level + 1, plan.min_key, plan.max_key)) return std::nullopt;
  return plan;
}

CompactionPicker::Plan CompactionPicker::PickLevel(const PickerTable& table, int level) const {
  const PickerFiles& files = table.levels[level];
  const PickerFiles& next = table.levels[level + 1];
  // Candidates by what they rewrite for what they move; the first that nothing blocks is taken.
  std::vector<std::pair<double, size_t>> order;
  size_t begin = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const FileMeta& meta = *files[i].meta;
    while (begin < next.size() && next[begin].meta->max_key < meta.min_key) ++begin;
    uint64_t bytes = 0;
    for (size_t j = begin; j < next.size() && next[j].meta->min_key <= meta.max_key; ++j) {
      bytes += next[j].bytes();
    }
    if (!files[i].busy) order.emplace_back(static_cast<double>(bytes) / Weight(files[i]), i);
  }
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first < b.first;
    return files[a.second].meta->number < files[b.second].meta->number;
  });
  for (const auto& [ratio, i] : order) {
    if (Plan plan = MergeDown(table, level, i, i + 1, CompactionReason::kLevelBytes)) return plan;
  }
  return std::nullopt;
}

/// The files of the highest level that is not worth having: those in nobody's way move together,
/// at once as deep as they can; the others are merged down.
CompactionPicker::Plan CompactionPicker::PickDrain(const PickerTable& table,
                                                   const LevelShape& shape) const {
  int level = 1;
  while (level < shape.drain_above && table.levels[level].empty()) ++level;
  if (level >= shape.drain_above) return std::nullopt;
  CompactionPlan moves = NewPlan(CompactionReason::kDrain, level, level);
  moves.move = true;
  for (const PickerFile& file : table.levels[level]) {
    if (file.busy) continue;
    const int to = SlideTo(table, level, kLast, file.meta->min_key, file.meta->max_key);
    if (to == level || (!moves.inputs.empty() && to != moves.output_level)) continue;
    moves.output_level = to;
    AddInput(file, &moves);
  }
  if (!moves.inputs.empty()) return moves;
  Plan plan = PickLevel(table, level);
  if (plan) plan->reason = CompactionReason::kDrain;
  return plan;
}

// --- When nothing is due ------------------------------------------------------------------------

/// Where tombstones free the largest part of what a compaction of them rewrites.
CompactionPicker::Plan CompactionPicker::PickTombstones(const PickerTable& table,
                                                        const LevelShape& shape) const {
  double best = 0;
  int best_level = -1;
  size_t best_file = 0;
  const auto consider = [&](uint64_t tombstones, uint64_t bytes, const PickerFiles& next, Span span,
                            int level, size_t file) {
    if (tombstones == 0) return;
    uint64_t rows = 0;
    const uint64_t overlapped = BytesOf(next, span);
    for (size_t i = span.begin; i < span.end; ++i) rows += next[i].meta->rows;
    // With nothing to rewrite it moves, towards what it deletes.
    const double freed = rows == 0
                             ? static_cast<double>(bytes)
                             : static_cast<double>(std::min(tombstones, rows)) *
                                   static_cast<double>(overlapped) / static_cast<double>(rows);
    const double part = freed / static_cast<double>(bytes + overlapped);
    if (part * kTombstonePart >= 1 && part > best) {
      best = part;
      best_level = level;
      best_file = file;
    }
  };
  const PickerFiles& level0 = table.levels[0];
  if (!level0.empty() && !AnyBusy(level0)) {
    uint64_t tombstones = 0, rows = 0;
    std::string_view min = level0[0].meta->min_key, max = level0[0].meta->max_key;
    for (const PickerFile& file : level0) {
      tombstones += file.deletes();
      rows += file.meta->rows;
      min = std::min<std::string_view>(min, file.meta->min_key);
      max = std::max<std::string_view>(max, file.meta->max_key);
    }
    const PickerFiles& next = table.levels[shape.base_level];
    const Span span = Overlapping(next, min, max);
    if (!span.empty() || tombstones * 2 >= rows) {
      consider(tombstones, shape.bytes[0], next, span, 0, 0);
    }
  }
  for (int level = shape.base_level; level < kLast; ++level) {
    const PickerFiles& files = table.levels[level];
    for (size_t i = 0; i < files.size(); ++i) {
      const FileMeta& meta = *files[i].meta;
      if (files[i].busy || files[i].deletes() == 0) continue;
      if (IsFree(table, level + 1, kLast, meta.min_key, meta.max_key)) continue;  // PickBottommost
      const PickerFiles& next = table.levels[level + 1];
      const Span span = Overlapping(next, meta.min_key, meta.max_key);
      const bool heavy = files[i].deletes() * 2 >= meta.rows;
      if (AnyBusy(next, span) || (span.empty() && !heavy)) continue;
      consider(files[i].deletes(), files[i].bytes(), next, span, level, i);
    }
  }
  if (best_level < 0) return std::nullopt;
  if (best_level > 0) {
    return MergeDown(table, best_level, best_file, best_file + 1, CompactionReason::kTombstones);
  }
  std::vector<size_t> all(level0.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  return MergeLevel0(table, all, shape.base_level, CompactionReason::kTombstones);
}

SequenceNumber CompactionPicker::NextRemovable(const PickerTable& table) const {
  SequenceNumber next = kMaxSequence;
  for (int level = 1; level <= kLast && table.keyed; ++level) {
    for (const PickerFile& file : table.levels[level]) {
      const FileMeta& meta = *file.meta;
      if (IsRewritable(file) && meta.max_sequence > table.oldest_snapshot &&
          IsFree(table, level + 1, kLast, meta.min_key, meta.max_key)) {
        next = std::min(next, meta.max_sequence);
      }
    }
  }
  return next;
}

CompactionPicker::Plan CompactionPicker::PickBottommost(const PickerTable& table) const {
  for (int level = kLast; level > 0; --level) {
    for (const PickerFile& file : table.levels[level]) {
      const FileMeta& meta = *file.meta;
      if (file.busy || !IsRewritable(file) || meta.max_sequence > table.oldest_snapshot ||
          !IsFree(table, level + 1, kLast, meta.min_key, meta.max_key) ||
          Conflicts(table, level, meta.min_key, meta.max_key)) {
        continue;
      }
      CompactionPlan plan = NewPlan(CompactionReason::kBottommost, level, level);
      AddInput(file, &plan);
      return plan;
    }
  }
  return std::nullopt;
}

/// At least `min_files` neighbours in age, each no larger than those before it together (unless
/// `any_size`).
CompactionPicker::Plan CompactionPicker::PickConcatenation(const PickerTable& table,
                                                           size_t min_files, bool any_size) const {
  const PickerFiles& files = table.levels[0];
  if (AnyBusy(files)) return std::nullopt;
  for (size_t begin = 0; begin + min_files <= files.size(); ++begin) {
    uint64_t bytes = 0;
    size_t end = begin;
    while (end < files.size() && files[end].bytes() < options_.file_bytes / 2 &&
           bytes + files[end].bytes() <= options_.file_bytes &&
           (any_size || bytes == 0 || files[end].bytes() <= bytes)) {
      bytes += files[end++].bytes();
    }
    // Pieces of one write stay together: the last sequence orders files.
    const auto splits = [&](size_t at) {
      return at > 0 && at < files.size() &&
             files[at - 1].meta->max_sequence == files[at].meta->max_sequence;
    };
    while (end > begin && splits(end)) --end;
    if (end - begin < min_files || splits(begin)) continue;
    CompactionPlan plan = NewPlan(CompactionReason::kConcatenate, 0, 0);
    for (size_t i = begin; i < end; ++i) AddInput(files[i], &plan);
    return plan;
  }
  return std::nullopt;
}

// --- Manual -------------------------------------------------------------------------------------

CompactionPicker::Plan CompactionPicker::PickRange(const PickerTable& table,
                                                   RangeWalk* walk) const {
  const auto in_range = [walk](const PickerFile& file) { return IsInRange(*file.meta, *walk); };
  const auto blocked = [walk]() -> Plan {
    walk->state = RangeWalk::State::kBlocked;
    return {};
  };
  const auto step = [walk](CompactionPlan plan) -> Plan {
    walk->state = RangeWalk::State::kReady;
    plan.reason = CompactionReason::kManual;
    return plan;
  };
  if (!table.keyed) {
    if (AnyBusy(table.levels[0])) return blocked();
    Plan plan = PickConcatenation(table, 2, /*any_size=*/true);
    if (plan) return step(*std::move(plan));
    walk->state = RangeWalk::State::kFinished;
    return std::nullopt;
  }

  if (walk->level == 0) {
    const PickerFiles& files = table.levels[0];
    // With what overlaps them: an older file must not stay above a newer one that went down.
    std::vector<size_t> chosen;
    std::string_view min, max;
    bool grown = true;
    while (grown) {
      grown = false;
      for (size_t i = 0; i < files.size(); ++i) {
        if (std::find(chosen.begin(), chosen.end(), i) != chosen.end()) continue;
        const FileMeta& meta = *files[i].meta;
        if (!in_range(files[i]) && (chosen.empty() || !Overlap(meta, min, max))) continue;
        min = chosen.empty() ? std::string_view(meta.min_key)
                             : std::min<std::string_view>(min, meta.min_key);
        max = chosen.empty() ? std::string_view(meta.max_key)
                             : std::max<std::string_view>(max, meta.max_key);
        chosen.push_back(i);
        grown = true;
      }
    }
    if (!chosen.empty()) {
      if (AnyBusy(files)) return blocked();
      const int base_level = Shape(table).base_level;
      if (Plan moves = PickMoves(table, base_level, walk)) return step(*std::move(moves));
      std::sort(chosen.begin(), chosen.end());
      Plan plan = MergeLevel0(table, chosen, base_level, CompactionReason::kManual);
      if (!plan) return blocked();
      walk->level = 1;
      return step(*std::move(plan));
    }
    walk->level = 1;
  }

  for (; walk->level <= kLast; ++walk->level, walk->cursor.clear()) {
    const PickerFiles& files = table.levels[walk->level];
    size_t begin = 0;
    while (begin < files.size() &&
           (!in_range(files[begin]) || files[begin].meta->min_key < walk->cursor)) {
      ++begin;
    }
    const auto done_to = [&](size_t last) { walk->cursor = files[last].meta->max_key + '\0'; };

    if (walk->level == kLast) {
      if (walk->bottommost == BottommostFiles::kKeep) continue;
      const auto wanted = [&](const PickerFile& file) {
        if (file.meta->number >= walk->first_new) return false;
        return walk->bottommost == BottommostFiles::kRewrite || file.meta->tombstones > 0 ||
               (file.has_seq && !file.meta->clean) ||
               (IsRewritable(file) && file.meta->max_sequence <= table.oldest_snapshot);
      };
      while (begin < files.size() && in_range(files[begin]) && !wanted(files[begin])) ++begin;
      if (begin == files.size() || !in_range(files[begin])) continue;
      CompactionPlan plan = NewPlan(CompactionReason::kManual, kLast, kLast);
      size_t end = begin;
      while (end < files.size() && in_range(files[end]) && wanted(files[end]) &&
             (end == begin || plan.input_bytes + files[end].bytes() <= options_.max_job_bytes())) {
        AddInput(files[end++], &plan);
      }
      if (AnyBusy(files, {begin, end}) || Conflicts(table, kLast, plan.min_key, plan.max_key)) {
        return blocked();
      }
      done_to(end - 1);
      return step(std::move(plan));
    }

    if (begin == files.size() || !in_range(files[begin])) continue;
    if (files[begin].busy) return blocked();
    const FileMeta& first = *files[begin].meta;
    const int to = SlideTo(table, walk->level, kLast, first.min_key, first.max_key);
    if (to > walk->level) {
      CompactionPlan plan = NewPlan(CompactionReason::kManual, walk->level, to);
      plan.move = true;
      AddInput(files[begin], &plan);
      done_to(begin);
      return step(std::move(plan));
    }
    size_t end = begin + 1;
    Plan plan = MergeDown(table, walk->level, begin, end, CompactionReason::kManual);
    if (!plan) return blocked();
    // As many neighbours as fit into a step.
    while (end < files.size() && in_range(files[end]) &&
           plan->input_bytes + plan->overlapped_bytes < options_.max_job_bytes()) {
      Plan more = MergeDown(table, walk->level, begin, end + 1, CompactionReason::kManual);
      if (!more || more->input_bytes + more->overlapped_bytes > options_.max_job_bytes()) break;
      plan = std::move(more);
      ++end;
    }
    // It may have taken neighbours on its own.
    size_t last = begin;
    while (last + 1 < files.size() && files[last + 1].meta->min_key <= plan->max_key &&
           std::find(plan->inputs.begin(), plan->inputs.end(), files[last + 1].meta->number) !=
               plan->inputs.end()) {
      ++last;
    }
    done_to(last);
    return step(*std::move(plan));
  }
  walk->state = RangeWalk::State::kFinished;
  return std::nullopt;
}

}  // namespace marble::lsm
