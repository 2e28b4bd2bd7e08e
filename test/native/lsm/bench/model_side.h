// The truth: a side that stores nothing but a version per row and answers from Rows. Every line
// runs on it as well, and what the stores have read is compared with what it answers. One thread.
#pragma once

#include <vector>

#include "rows.h"
#include "store_side.h"

namespace marble::lsm::bench {

class ModelSide : public StoreSide {
 public:
  explicit ModelSide(const Rows* rows) : rows_(rows) {}

  std::string name() const override { return "model"; }
  std::string Describe() const override { return "the expected answers"; }
  /// An empty database, whatever was there.
  Status Open(const std::string& dir) override;
  Status Close() override { return Status::OK(); }
  bool Busy() override { return false; }
  Status Settle() override { return Status::OK(); }
  std::string Shape() override { return ""; }

  void Put(std::string_view key, std::string_view value) override;
  void PutMany(std::span<const KeyValue> rows) override;
  bool Get(std::string_view key, Touched* touched) override;
  void GetMany(std::span<const std::string_view> keys, Touched* touched) override;
  void SeekAndRead(std::string_view key, int rows, Touched* touched) override;
  void ScanAll(Touched* touched) override;
  void VisitAll(const std::function<void(std::string_view, std::string_view)>& visit) override;

  /// kCorruption, saying where, unless `side` holds exactly these rows with exactly these bytes.
  Status Compare(StoreSide* side) const;

 private:
  static constexpr uint8_t kAbsent = 255;

  const Rows* const rows_;
  std::vector<uint8_t> versions_;  // of each row
  RowBuffer buffer_;
};

}  // namespace marble::lsm::bench
