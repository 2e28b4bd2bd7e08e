// MarbleDB from C++, without Node: a table of Arrow batches and a state of bytes in one database.
//
//   quickstart DIRECTORY
//
// The first run fills a fresh directory; each later run finds what is there and counts one visit
// more.
#include <arrow/api.h>

#include <iostream>

#include "lsm/db.h"
#include "lsm/write/write_batch.h"
#include "table/table.h"

namespace {

using marble::Result;
using marble::Status;

Result<std::shared_ptr<arrow::RecordBatch>> Trades() {
  arrow::StringBuilder symbol;
  arrow::Int64Builder ts;
  arrow::DoubleBuilder px;
  for (int i = 0; i < 6; ++i) {
    MARBLE_RETURN_NOT_OK(symbol.Append(i % 2 == 0 ? "ACME" : "EMCA"));
    MARBLE_RETURN_NOT_OK(ts.Append(1000 + i));
    MARBLE_RETURN_NOT_OK(px.Append(10.0 + i));
  }
  const auto schema = arrow::schema({arrow::field("symbol", arrow::utf8(), false),
                                     arrow::field("ts", arrow::int64(), false),
                                     arrow::field("px", arrow::float64())});
  MARBLE_ASSIGN_OR_RETURN(const auto a, symbol.Finish());
  MARBLE_ASSIGN_OR_RETURN(const auto b, ts.Finish());
  MARBLE_ASSIGN_OR_RETURN(const auto c, px.Finish());
  return arrow::RecordBatch::Make(schema, 6, {a, b, c});
}

Status Run(const std::string& directory) {
  MARBLE_ASSIGN_OR_RETURN(const auto db, marble::lsm::DB::Open(directory, {}));
  MARBLE_ASSIGN_OR_RETURN(const auto batch, Trades());
  MARBLE_ASSIGN_OR_RETURN(auto descriptor, marble::table::MakeTableDescriptor(
                                               "trades", batch->schema(), {"symbol", "ts"}));
  MARBLE_ASSIGN_OR_RETURN(const auto trades,
                          db->CreateTable(std::move(descriptor), /*if_not_exists=*/true));
  MARBLE_ASSIGN_OR_RETURN(const auto visits,
                          db->CreateTable(marble::table::MakeStateDescriptor("visits"), true));

  // One atomic write over both. Rows with a key that is there are replaced.
  MARBLE_ASSIGN_OR_RETURN(const auto before, db->Get(visits, "count", {}));
  const int count = before ? std::stoi(std::string(before->bytes)) + 1 : 1;
  marble::lsm::WriteBatch changes;
  MARBLE_RETURN_NOT_OK(changes.Insert(trades, batch));
  MARBLE_RETURN_NOT_OK(changes.Put(visits, "count", std::to_string(count)));
  MARBLE_RETURN_NOT_OK(db->Write(std::move(changes), {}).status());

  // All trades of one symbol, newest first, as Arrow batches.
  const auto acme = std::make_shared<arrow::StringScalar>("ACME");
  marble::lsm::ScanOptions options;
  MARBLE_ASSIGN_OR_RETURN(options.range, marble::table::EncodePrefix(trades, {acme}));
  options.reverse = true;
  MARBLE_ASSIGN_OR_RETURN(const auto rows, db->NewIterator(trades, options));
  while (true) {
    MARBLE_ASSIGN_OR_RETURN(const auto step, rows->Next());
    if (step.batch == nullptr) break;
    for (int64_t i = 0; i < step.batch->num_rows(); ++i) {
      MARBLE_ASSIGN_OR_RETURN(const auto ts, step.batch->column(1)->GetScalar(i));
      MARBLE_ASSIGN_OR_RETURN(const auto px, step.batch->column(2)->GetScalar(i));
      std::cout << "ACME " << ts->ToString() << " " << px->ToString() << "\n";
    }
  }
  std::cout << "visits " << count << "\n";
  return db->Close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: quickstart DIRECTORY\n";
    return 2;
  }
  const Status status = Run(argv[1]);
  if (status.ok()) return 0;
  std::cerr << "error: " << status.ToString() << "\n";
  return 1;
}
