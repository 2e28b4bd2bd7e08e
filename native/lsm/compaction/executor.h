// Where the engine's background work runs. The database decides what is to be done and submits
// it; it owns no thread itself. The one implementation keeps threads of its own; a scheduler that
// is shared with other layers goes behind the same interface.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"

namespace marble::lsm {

/// Thread-safe. Kinds never wait for each other: a long compaction does not keep a flush from
/// running.
class Executor {
 public:
  enum class Kind { kFlush, kCompaction };

  virtual ~Executor() = default;

  /// Run `work` soon, not before `delay` has passed. Work of one kind begins in the order in which
  /// it is due. After Stop: nothing happens.
  virtual void Submit(Kind kind, std::function<void()> work,
                      std::chrono::milliseconds delay = {}) = 0;
  /// Run all parts of a compaction and wait for them; the calling thread takes part, threads that
  /// have nothing else to do help. The first error; the other parts are awaited all the same.
  virtual Status RunAll(std::vector<std::function<Status()>> parts) = 0;
  /// Wait for the work that runs, drop what has not begun. Idempotent. Not from work itself.
  virtual void Stop() = 0;
};

/// One thread for flushes and `compaction_threads` for compactions, started when first needed.
std::unique_ptr<Executor> NewThreadExecutor(int compaction_threads);

}  // namespace marble::lsm
