// A chain of stages with bounded buffers between them, run as tasks in slices: read a memtable,
// build batches, write them, index them.
//
//   auto pipeline = PipelineFrom<Rows>(&scheduler, {.priority = Priority::kFlush}, {.name =
//   "read"},
//                                      [&](StageContext&) -> Result<std::optional<Rows>> {...})
//                       .Then<Batch>({.name = "build", .parallelism = 4},
//                                    [&](Rows rows, Emitter<Batch>& out) -> Status {...})
//                       .Into({.name = "write"}, [&](Batch batch, StageContext&) -> Status {...});
//   Status status = pipeline->Run();
//
// The first stage makes items until it returns nullopt, each later one makes any number of items
// from one. A stage that asks for it gets a last call when its input has ended (`at_end`), where it
// gives out what it has gathered.
//
// How it runs
//  1. A stage takes an item only when the buffer behind it has room for what comes out of it: one
//     place per item in work. So a slow stage stops those before it, and no thread ever waits for
//     a buffer. (What one item yields beyond one goes in regardless.)
//  2. A stage that could take an item has a task in the queue, a parallel one up to `parallelism`.
//  A task
//     takes item after item until there is none, there is no room, or its budget is used up.
//  3. With `ordered`, what comes out keeps the order of what went in: items that are done
//     early wait, and keep their places in the buffer behind.
//
// Errors: the first one of any stage ends the pipeline; its message names the stage. Cancelled with
// its token, by Cancel, and with the scheduler. What is in the buffers then is destroyed unused.
//
// Owned by whoever made it; the destructor cancels and waits. Stage functions run on the
// scheduler's threads: those of a serial stage one call at a time (each sees what the one before
// did), those of a parallel one at the same time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "task/task_group.h"

namespace marble::task {

struct PipelineOptions {
  Priority priority = Priority::kUser;
  CancellationToken token{};
  /// Of each slice of a stage. Rows count where stages charge them.
  Budget budget{};
};

struct StageOptions {
  /// For messages and stats.
  std::string name{};
  /// Calls at the same time; the first stage has 1. Cannot use more than the buffer behind allows.
  int parallelism = 1;
  /// Of a parallel stage: keep the order of the items.
  bool ordered = true;
  /// Items that may wait in front of this stage. Means nothing for the first.
  size_t buffer = 8;
};

struct StageStats {
  std::string name{};
  uint64_t items_in = 0;
  uint64_t items_out = 0;
  /// Most items that waited in front of it.
  size_t most_buffered = 0;
};

namespace internal {

/// A value of any type on its way between stages.
class Item {
 public:
  Item() = default;
  template <typename T>
  explicit Item(std::unique_ptr<T> value)
      : value_(value.release()), drop_([](void* held) { delete static_cast<T*>(held); }) {}
  Item(Item&& other) noexcept : value_(std::exchange(other.value_, nullptr)), drop_(other.drop_) {}
  Item& operator=(Item&& other) noexcept {
    if (this != &other) {
      Drop();
      value_ = std::exchange(other.value_, nullptr);
      drop_ = other.drop_;
    }
    return *this;
  }
  ~Item() { Drop(); }
  template <typename T>
  std::unique_ptr<T> Take() {
    return std::unique_ptr<T>(static_cast<T*>(std::exchange(value_, nullptr)));
  }

 private:
  void Drop() {
    if (value_ != nullptr) drop_(std::exchange(value_, nullptr));
  }
  void* value_ = nullptr;
  void (*drop_)(void*) = nullptr;
};

/// One call of a stage's function.
struct StageCall {
  Slice* slice;
  std::vector<Item> outputs;
  bool source_ended = false;
};

struct StageSpec {
  StageOptions options;
  std::function<Status(Item item, StageCall* call)> run;
  std::function<Status(StageCall* call)> at_end;  // may be empty
};

class PipelineCore;

}  // namespace internal

/// What a stage's function may ask for.
class StageContext {
 public:
  explicit StageContext(internal::StageCall* call) : call_(call) {}
  /// Count rows against the budget of the slice.
  void Charge(int64_t rows) { call_->slice->Charge(rows); }
  /// For calls that take long: cancelled when the pipeline is to end.
  const CancellationToken& token() const { return call_->slice->token(); }

 protected:
  internal::StageCall* call_;
};

/// Where a stage puts what it makes.
template <typename Out>
class Emitter : public StageContext {
 public:
  using StageContext::StageContext;
  void Emit(Out item) { call_->outputs.emplace_back(std::make_unique<Out>(std::move(item))); }
};

class Pipeline {
 public:
  ~Pipeline();
  /// Start, then Wait.
  Status Run();
  /// Queue the first stage. kInvalidArgument when it was started before, or when a stage's options
  /// make no sense; kClosed after the scheduler's Shutdown.
  Status Start();
  /// Wait for the end (a worker helps, as in TaskGroup::Wait). OK: every item went through every
  /// stage.
  Status Wait();
  void Cancel(const Status& reason);
  /// Any thread, at any time.
  std::vector<StageStats> stats() const;

 private:
  template <typename>
  friend class PipelineBuilder;
  Pipeline(TaskScheduler* scheduler, const PipelineOptions& options,
           std::vector<internal::StageSpec> stages);
  const std::unique_ptr<internal::PipelineCore> core_;
};

/// Made by PipelineFrom; T is what the last stage so far makes.
template <typename T>
class PipelineBuilder {
 public:
  /// Add a stage. `run`: Status(T, Emitter<Out>&). `at_end`, if given: Status(Emitter<Out>&).
  template <typename Out, typename Run>
  PipelineBuilder<Out> Then(StageOptions options, Run run,
                            std::function<Status(Emitter<Out>&)> at_end = nullptr) && {
    internal::StageSpec spec;
    spec.options = std::move(options);
    spec.run = [run = Shared(std::move(run))](internal::Item item, internal::StageCall* call) {
      Emitter<Out> out(call);
      return (*run)(std::move(*item.Take<T>()), out);
    };
    if (at_end != nullptr) {
      spec.at_end = [at_end = std::move(at_end)](internal::StageCall* call) {
        Emitter<Out> out(call);
        return at_end(out);
      };
    }
    stages_.push_back(std::move(spec));
    return PipelineBuilder<Out>(scheduler_, std::move(options_), std::move(stages_));
  }

  /// Add the last stage. `run`: Status(T, StageContext&). `at_end`, if given:
  /// Status(StageContext&).
  template <typename Run>
  std::unique_ptr<Pipeline> Into(StageOptions options, Run run,
                                 std::function<Status(StageContext&)> at_end = nullptr) && {
    internal::StageSpec spec;
    spec.options = std::move(options);
    spec.run = [run = Shared(std::move(run))](internal::Item item, internal::StageCall* call) {
      StageContext context(call);
      return (*run)(std::move(*item.Take<T>()), context);
    };
    if (at_end != nullptr) {
      spec.at_end = [at_end = std::move(at_end)](internal::StageCall* call) {
        StageContext context(call);
        return at_end(context);
      };
    }
    stages_.push_back(std::move(spec));
    return std::unique_ptr<Pipeline>(new Pipeline(scheduler_, options_, std::move(stages_)));
  }

 private:
  template <typename>
  friend class PipelineBuilder;
  template <typename First, typename Run>
  friend PipelineBuilder<First> PipelineFrom(TaskScheduler* scheduler, PipelineOptions options,
                                             StageOptions stage, Run run);
  PipelineBuilder(TaskScheduler* scheduler, PipelineOptions options,
                  std::vector<internal::StageSpec> stages)
      : scheduler_(scheduler), options_(std::move(options)), stages_(std::move(stages)) {}
  /// std::function wants to copy; stage functions may hold what cannot be copied.
  template <typename Run>
  static std::shared_ptr<Run> Shared(Run run) {
    return std::make_shared<Run>(std::move(run));
  }

  TaskScheduler* scheduler_;
  PipelineOptions options_;
  std::vector<internal::StageSpec> stages_;
};

/// Begin a pipeline. `run`: Result<std::optional<First>>(StageContext&), called until it returns
/// nullopt.
template <typename First, typename Run>
PipelineBuilder<First> PipelineFrom(TaskScheduler* scheduler, PipelineOptions options,
                                    StageOptions stage, Run run) {
  internal::StageSpec spec;
  spec.options = std::move(stage);
  spec.run = [run = std::make_shared<Run>(std::move(run))](internal::Item,
                                                           internal::StageCall* call) -> Status {
    StageContext context(call);
    MARBLE_ASSIGN_OR_RETURN(std::optional<First> item, (*run)(context));
    if (item) {
      call->outputs.emplace_back(std::make_unique<First>(std::move(*item)));
    } else {
      call->source_ended = true;
    }
    return Status::OK();
  };
  std::vector<internal::StageSpec> stages;
  stages.push_back(std::move(spec));
  return PipelineBuilder<First>(scheduler, std::move(options), std::move(stages));
}

}  // namespace marble::task
