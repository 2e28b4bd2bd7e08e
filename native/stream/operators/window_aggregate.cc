#include "stream/operators/window_aggregate.h"

#include <arrow/api.h>

#include <algorithm>

#include "base/limits.h"
#include "expr/cast.h"
#include "expr/column_builder.h"
#include "expr/date_time.h"

namespace marble::stream {

Result<std::unique_ptr<WindowAggregate>> WindowAggregate::Make(const PlanNode& node,
                                                               const arrow::Schema& input,
                                                               uint16_t max_parallelism,
                                                               const Clock* clock) {
  MARBLE_ASSIGN_OR_RETURN(auto state,
                          AggregateState::Make(node, input, true, max_parallelism, clock));
  return std::unique_ptr<WindowAggregate>(new WindowAggregate(node, std::move(state)));
}

std::shared_ptr<arrow::Schema> WindowAggregate::state_schema() const {
  return state_.table().state_schema();
}

std::vector<int> WindowAggregate::state_key_columns() const {
  return state_.table().state_key_columns();
}

Status WindowAggregate::AssignWindows(const arrow::Int64Array& times) {
  const int64_t size = node_.window.size_ms, offset = node_.window.offset_ms;
  const int64_t rows = times.length();
  const int64_t* raw = times.raw_values();
  window_ends_.resize(static_cast<size_t>(rows));
  int64_t start = 1, end = 0;  // the last row's window: most rows share it
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t time = raw[i];
    if (time < start || time >= end) {
      if (__builtin_sub_overflow(time, offset, &start)) {
        return MakeError(ErrorCode::kBadRecord, "Operator '" + node_.id + "': time " +
                                                    std::to_string(time) + " is out of range");
      }
      start = expr::FloorDiv(start, size) * size + offset;
      end = start + size;
    }
    window_ends_[static_cast<size_t>(i)] = end;
  }
  return Status::OK();
}

Status WindowAggregate::ProcessRows(const Morsel& morsel) {
  const auto& column = morsel.rows->column(node_.window.time_column);
  if (column->null_count() > 0) {
    return MakeError(ErrorCode::kBadRecord,
                     "Operator '" + node_.id + "': time attribute '" +
                         morsel.rows->schema()->field(node_.window.time_column)->name() +
                         "' is NULL in a row; it must not be");
  }
  MARBLE_ASSIGN_OR_RETURN(auto times, ToMillis(column));
  MARBLE_RETURN_NOT_OK(AssignWindows(*times));
  const size_t rows = window_ends_.size();
  const int64_t current = timers_.watermark();
  const int64_t* before = morsel.watermarks == nullptr ? nullptr : morsel.watermarks->raw_values();
  auto late = [&](size_t i) {
    const int64_t watermark = before == nullptr ? current : std::max(current, before[i]);
    return window_ends_[i] - 1 <= watermark;
  };
  size_t count = 0;
  for (size_t i = 0; i < rows; ++i) count += late(i);
  std::shared_ptr<arrow::RecordBatch> batch = morsel.rows;
  if (count > 0) {
    late_rows_ += count;
    if (count == rows) return Status::OK();
    MARBLE_ASSIGN_OR_RETURN(
        auto mask, expr::BuildBoolean(static_cast<int64_t>(rows), [&](int64_t i, bool* out) {
          *out = !late(static_cast<size_t>(i));
          return true;
        }));
    MARBLE_ASSIGN_OR_RETURN(
        batch, expr::FilterBatch(batch, static_cast<const arrow::BooleanArray&>(*mask)));
    size_t kept = 0;
    for (size_t i = 0; i < rows; ++i) {
      if (static_cast<const arrow::BooleanArray&>(*mask).Value(static_cast<int64_t>(i))) {
        window_ends_[kept++] = window_ends_[i];
      }
    }
    window_ends_.resize(kept);
  }
  std::vector<state::GroupId> created;
  MARBLE_RETURN_NOT_OK(state_.Update(*batch, window_ends_.data(), &created));
  Open(created);
  return Status::OK();
}

void WindowAggregate::Open(const std::vector<state::GroupId>& created) {
  int64_t last = 0;
  std::vector<state::GroupId>* window = nullptr;
  for (state::GroupId group : created) {
    const int64_t end = state_.table().window_end(group);
    if (window == nullptr || end != last) {
      window = &windows_[end];
      last = end;
      timers_.Register(end - 1);
    }
    window->push_back(group);
  }
}

Status WindowAggregate::AdvanceWatermark(int64_t watermark) {
  if (watermark <= timers_.watermark()) return Status::OK();
  const auto due = timers_.AdvanceTo(watermark);
  if (!due.empty()) MARBLE_RETURN_NOT_OK(Close(due));
  return EmitWatermark(watermark);
}

Status WindowAggregate::Close(const std::vector<int64_t>& times) {
  std::vector<state::GroupId> groups;
  auto emit = [&]() -> Status {
    if (groups.empty()) return Status::OK();
    MARBLE_ASSIGN_OR_RETURN(auto columns, state_.Finish(groups));
    const auto rows = static_cast<int64_t>(groups.size());
    for (const auto& name : node_.window_columns) {
      const auto& type = node_.schema->field(static_cast<int>(columns.size()))->type();
      const auto millis = arrow::timestamp(arrow::TimeUnit::MILLI);
      MARBLE_ASSIGN_OR_RETURN(
          auto values, expr::BuildFixed<int64_t>(millis, rows, [&](int64_t i, int64_t* out) {
            const int64_t end = state_.table().window_end(groups[static_cast<size_t>(i)]);
            *out = name == "start" ? end - node_.window.size_ms : name == "end" ? end : end - 1;
            return true;
          }));
      MARBLE_ASSIGN_OR_RETURN(auto column, expr::CastArray(values, type, false));
      columns.push_back(std::move(column));
    }
    Morsel morsel;
    morsel.rows = arrow::RecordBatch::Make(node_.schema, rows, std::move(columns));
    MARBLE_RETURN_NOT_OK(Emit(morsel));
    state_.table().Erase(groups);
    groups.clear();
    return Status::OK();
  };
  for (int64_t time : times) {
    auto window = windows_.extract(time + 1);
    for (state::GroupId group : window.mapped()) {
      groups.push_back(group);
      if (static_cast<int64_t>(groups.size()) == limits::kTableBatchRows) {
        MARBLE_RETURN_NOT_OK(emit());
      }
    }
  }
  return emit();
}

Status WindowAggregate::Snapshot(EpochWrites* writes) {
  return state_.Snapshot(state_table_, writes);
}

Status WindowAggregate::Restore(const arrow::RecordBatch& rows) {
  std::vector<state::GroupId> created;
  MARBLE_RETURN_NOT_OK(state_.table().Restore(rows, &created));
  Open(created);
  return Status::OK();
}

}  // namespace marble::stream
