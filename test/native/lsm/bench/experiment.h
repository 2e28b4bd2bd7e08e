// The whole measurement of one number of keys: which databases are made, which lines run on them
// in which order, and that all sides and the model do the same.
//
// A round:
//   1. Fill sequential, fill in batches: databases of their own. Small ones several times.
//   2. The main database: fill random, overwrite. The reads "as written".
//   3. Flush and merge on every side. The reads "settled", latencies.
//   4. Mix; close and open with that log; read while writing; settle; close and open.
//
// Within a round each line runs on all sides, one after the other, before the next line begins,
// and rounds turn their order around: what else the machine does meets all alike. Lines that
// write are followed by a wait for background work and a sync of the file system; before reads
// every row of every side is compared with the model, which warms caches alike.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "meter.h"
#include "model_side.h"
#include "results.h"
#include "rows.h"
#include "store_side.h"
#include "work_directory.h"

namespace marble::lsm::bench {

struct ExperimentOptions {
  /// Parts of names, as "hot", or with a state "settled: read random"; empty: all.
  std::vector<std::string> lines;
  int rounds = 3;
  KeyShape key_shape = KeyShape::kNumber;
  /// Of lines that do not go over all rows; 0: as many as there are keys, from one to two million.
  uint64_t operations = 0;
  /// A read during which others used more cores than this is measured again, so many times at
  /// most; the quietest counts.
  double noisy_cores = 0.25;
  int retries = 2;
  /// Fills of less than a million keys take a moment: so many of them a round.
  int short_fill_repeats = 5;
  /// Wait for a side's background work to end; tests replace it.
  std::function<Status(StoreSide*)> wait_until_quiet = [](StoreSide* side) {
    return WaitUntilQuiet([side] { return side->Busy(); });
  };
};

using Sides = std::vector<std::unique_ptr<StoreSide>>;
using Progress = std::function<void(const std::string& text)>;

class Experiment {
 public:
  /// `results` has the names of the sides. All outlive this.
  Experiment(uint64_t keys, const ExperimentOptions& options, Sides* sides,
             const WorkDirectory* directory, Results* results, Progress progress);

  /// An error is one of a store's or of the machine's; sides that disagree are in the results.
  Status Run();

 private:
  struct Line;

  Status RunRound(int round);
  /// Databases that serve one line that writes and are dropped.
  Status RunFill(const Line& line);
  Status RunReads(const std::string& state);
  Status RunLine(const Line& line, const std::string& state);
  Status RunOpens(const std::string& state);
  Result<Sample> Measure(const Line& line, size_t side, const Assignment& assignment);

  Status OpenAll(const std::string& name);
  Status CloseAll();
  Status SettleAll(const std::string& state);
  /// Compare every row of every side with the model.
  Status VerifyAll(const std::string& state);
  void NoteShapes(const std::string& state);

  bool Selected(const Line& line, const std::string& state = "") const;
  std::vector<size_t> Order() const;
  Assignment AssignmentOf(const Line& line);
  static const std::vector<Line>& Fills();
  static const std::vector<Line>& Reads();

  const ExperimentOptions options_;
  Sides& sides_;
  const WorkDirectory& directory_;
  Results& results_;
  const Progress progress_;
  const Rows rows_;
  ModelSide model_;
  int round_ = 0;
  uint8_t version_ = 0;             // of the next line that writes
  std::vector<std::string> dirs_;   // of the open databases, by side
  std::vector<std::string> wrong_;  // by side: what is wrong with its database, empty: nothing
};

}  // namespace marble::lsm::bench
