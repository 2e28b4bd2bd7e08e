#include "model_side.h"

namespace marble::lsm::bench {

Status ModelSide::Open(const std::string&) {
  versions_.assign(rows_->count(), kAbsent);
  return Status::OK();
}

void ModelSide::Put(std::string_view key, std::string_view value) {
  const uint64_t row = rows_->NumberOf(key) / 2;
  versions_[row] = static_cast<uint8_t>(Rows::VersionOf(row, Touched::FirstBytes(value)));
}

void ModelSide::PutMany(std::span<const KeyValue> rows) {
  for (const KeyValue& row : rows) Put(row.key, row.value);
}

bool ModelSide::Get(std::string_view key, Touched* touched) {
  const uint64_t number = rows_->NumberOf(key);
  const uint64_t row = number / 2;
  if (number % 2 != 0 || row >= rows_->count() || versions_[row] == kAbsent) return false;
  touched->AddValue(rows_->Value(row, versions_[row], &buffer_));
  return true;
}

void ModelSide::GetMany(std::span<const std::string_view> keys, Touched* touched) {
  for (const std::string_view key : keys) Get(key, touched);
}

void ModelSide::SeekAndRead(std::string_view key, int rows, Touched* touched) {
  for (uint64_t row = (rows_->NumberOf(key) + 1) / 2; row < rows_->count() && rows > 0; ++row) {
    if (versions_[row] == kAbsent) continue;
    touched->AddRow(rows_->Key(row, &buffer_), rows_->Value(row, versions_[row], &buffer_));
    --rows;
  }
}

void ModelSide::ScanAll(Touched* touched) {
  VisitAll([&](std::string_view key, std::string_view value) { touched->AddRow(key, value); });
}

void ModelSide::VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) {
  for (uint64_t row = 0; row < rows_->count(); ++row) {
    if (versions_[row] == kAbsent) continue;
    visit(rows_->Key(row, &buffer_), rows_->Value(row, versions_[row], &buffer_));
  }
}

Status ModelSide::Compare(StoreSide* side) const {
  uint64_t row = 0;
  const auto skip_absent = [&] {
    while (row < rows_->count() && versions_[row] == kAbsent) ++row;
  };
  std::string wrong;
  RowBuffer buffer;
  side->VisitAll([&](std::string_view key, std::string_view value) {
    skip_absent();
    if (!wrong.empty()) return;
    if (row == rows_->count()) {
      wrong = "it has a row behind the last one";
    } else if (key != rows_->Key(row, &buffer)) {
      wrong = "at the place of row " + std::to_string(row) + " it has another key";
    } else if (value != rows_->Value(row, versions_[row], &buffer)) {
      wrong = "row " + std::to_string(row) + " has another value than the last one put";
    }
    ++row;
  });
  MARBLE_RETURN_NOT_OK(side->error());
  skip_absent();
  if (wrong.empty() && row < rows_->count()) wrong = "it ends before row " + std::to_string(row);
  if (wrong.empty()) return Status::OK();
  return MakeError(ErrorCode::kCorruption,
                   side->name() + " does not hold what was written: " + wrong);
}

}  // namespace marble::lsm::bench
