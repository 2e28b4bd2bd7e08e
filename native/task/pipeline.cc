#include "task/pipeline.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <mutex>

namespace marble::task {
namespace internal {

class PipelineCore {
 public:
  PipelineCore(TaskScheduler* scheduler, const PipelineOptions& options,
               std::vector<StageSpec> specs)
      : budget_(options.budget), group_(scheduler, options.priority, options.token) {
    for (StageSpec& spec : specs) {
      stages_.emplace_back();
      stages_.back().spec = std::move(spec);
    }
  }

  Status Start();
  Status Wait();
  void Cancel(const Status& reason) { group_.Cancel(reason); }
  std::vector<StageStats> stats();

 private:
  enum class Taken { kNothing, kItem, kEnd };

  struct Stage {
    StageSpec spec;
    // State below is protected by mutex_.
    std::deque<Item> input;
    bool input_ended = false;
    int tasks = 0;         // queued or running
    int busy = 0;          // of these: in a call
    size_t in_flight = 0;  // items taken whose outputs are not yet in the next buffer
    uint64_t next_taken = 0;
    uint64_t next_released = 0;
    std::map<uint64_t, std::vector<Item>> held;  // done, but an earlier item is not
    bool end_taken = false;
    bool ended = false;
    uint64_t items_out = 0;
    size_t most_buffered = 0;
  };

  Status Check() const;
  Result<Progress> RunSlice(size_t index, Slice& slice);
  Status Call(Stage& stage, Taken taken, Item item, StageCall* call);
  // mutex_ is held:
  bool HasRoom(size_t index) const { return Room(index) > 0; }
  size_t Room(size_t index) const;
  size_t Takeable(size_t index) const;
  Taken Take(size_t index, Item* item, uint64_t* number);
  void Deliver(size_t index, Taken taken, uint64_t number, StageCall* call);
  void Append(size_t index, std::vector<Item>* outputs);
  void Schedule(size_t index);

  const Budget budget_;
  mutable std::mutex mutex_;
  std::deque<Stage> stages_;
  // State below is protected by mutex_.
  bool started_ = false;
  bool finished_ = false;
  Status refused_;  // a task could not be queued
  // Last: its destructor waits for the tasks, which use all of the above.
  TaskGroup group_;
};

Status PipelineCore::Check() const {
  for (size_t i = 0; i < stages_.size(); ++i) {
    const StageOptions& options = stages_[i].spec.options;
    const auto bad = [&](const std::string& what) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "pipeline stage " + std::to_string(i) + " '" + options.name + "': " + what);
    };
    if (options.parallelism < 1) return bad("parallelism must be at least 1");
    if (i == 0 && options.parallelism != 1) return bad("the first stage cannot be parallel");
    if (i > 0 && options.buffer < 1) return bad("its buffer must have room for an item");
  }
  return Status::OK();
}

Status PipelineCore::Start() {
  MARBLE_RETURN_NOT_OK(Check());
  std::lock_guard lock(mutex_);
  if (started_) return MakeError(ErrorCode::kInvalidArgument, "the pipeline was started before");
  started_ = true;
  Schedule(0);
  return refused_;
}

Status PipelineCore::Wait() {
  Status status = group_.Wait();
  std::lock_guard lock(mutex_);
  if (status.ok() && !finished_) {
    if (!started_) {
      return MakeError(ErrorCode::kInvalidArgument, "the pipeline was not started");
    }
    status = refused_.ok() ? group_.token().Check() : refused_;
    MARBLE_CHECK(
        !status.ok());  // no task left, none refused, none cancelled: a stage was forgotten
  }
  for (Stage& stage : stages_) {
    stage.input.clear();
    stage.held.clear();
  }
  return status;
}

std::vector<StageStats> PipelineCore::stats() {
  std::lock_guard lock(mutex_);
  std::vector<StageStats> stats;
  for (const Stage& stage : stages_) {
    // What the first stage took are calls, the last of which made nothing.
    const uint64_t items_in = &stage == &stages_.front() ? stage.items_out : stage.next_taken;
    stats.push_back({stage.spec.options.name, items_in, stage.items_out, stage.most_buffered});
  }
  return stats;
}

/// How many more items the stage may take before the buffer behind it is full.
size_t PipelineCore::Room(size_t index) const {
  if (index + 1 == stages_.size()) return std::numeric_limits<size_t>::max();
  const Stage& next = stages_[index + 1];
  const size_t used = next.input.size() + stages_[index].in_flight;
  return used < next.spec.options.buffer ? next.spec.options.buffer - used : 0;
}

size_t PipelineCore::Takeable(size_t index) const {
  const Stage& stage = stages_[index];
  if (stage.end_taken || !HasRoom(index)) return 0;
  if (index == 0) return stage.input_ended && stage.in_flight > 0 ? 0 : 1;
  if (!stage.input.empty()) return std::min(stage.input.size(), Room(index));
  return stage.input_ended && stage.in_flight == 0 ? 1 : 0;
}

PipelineCore::Taken PipelineCore::Take(size_t index, Item* item, uint64_t* number) {
  if (Takeable(index) == 0) return Taken::kNothing;
  Stage& stage = stages_[index];
  ++stage.in_flight;
  if (index == 0 ? stage.input_ended : stage.input.empty()) {
    stage.end_taken = true;
    return Taken::kEnd;
  }
  *number = stage.next_taken++;
  if (index > 0) {
    *item = std::move(stage.input.front());
    stage.input.pop_front();
  }
  return Taken::kItem;
}

void PipelineCore::Append(size_t index, std::vector<Item>* outputs) {
  Stage& stage = stages_[index];
  --stage.in_flight;
  if (index + 1 == stages_.size()) return;
  Stage& next = stages_[index + 1];
  stage.items_out += outputs->size();
  for (Item& item : *outputs) next.input.push_back(std::move(item));
  next.most_buffered = std::max(next.most_buffered, next.input.size());
}

void PipelineCore::Deliver(size_t index, Taken taken, uint64_t number, StageCall* call) {
  Stage& stage = stages_[index];
  if (taken == Taken::kEnd) {
    Append(index, &call->outputs);
    stage.ended = true;
    if (index + 1 < stages_.size()) {
      stages_[index + 1].input_ended = true;
    } else {
      finished_ = true;
    }
  } else if (!stage.spec.options.ordered) {
    Append(index, &call->outputs);
  } else {
    stage.held.emplace(number, std::move(call->outputs));
    for (auto first = stage.held.begin();
         first != stage.held.end() && first->first == stage.next_released;
         first = stage.held.erase(first)) {
      Append(index, &first->second);
      ++stage.next_released;
    }
  }
  if (call->source_ended) stage.input_ended = true;
}

/// See to it that a stage that could take items has the tasks for it.
void PipelineCore::Schedule(size_t index) {
  Stage& stage = stages_[index];
  const size_t takeable = Takeable(index);
  while (stage.tasks < stage.spec.options.parallelism &&
         static_cast<size_t>(stage.tasks - stage.busy) < takeable) {
    const Status spawned =
        group_.SpawnSliced(budget_, [this, index](Slice& slice) { return RunSlice(index, slice); });
    if (!spawned.ok()) {
      if (refused_.ok()) refused_ = spawned;
      group_.Cancel(spawned);
      return;
    }
    ++stage.tasks;
  }
}

Status PipelineCore::Call(Stage& stage, Taken taken, Item item, StageCall* call) {
  Status status;
  if (taken == Taken::kItem) {
    status = stage.spec.run(std::move(item), call);
  } else if (stage.spec.at_end != nullptr) {
    status = stage.spec.at_end(call);
  }
  if (status.ok() || stage.spec.options.name.empty()) return status;
  return status.WithMessage("in stage '", stage.spec.options.name, "': ", MessageOf(status));
}

Result<Progress> PipelineCore::RunSlice(size_t index, Slice& slice) {
  Stage& stage = stages_[index];
  while (true) {
    MARBLE_RETURN_NOT_OK(slice.token().Check());
    Item item;
    uint64_t number = 0;
    Taken taken;
    {
      std::lock_guard lock(mutex_);
      taken = Take(index, &item, &number);
      if (taken == Taken::kNothing) {
        --stage.tasks;
        return Progress::kDone;
      }
      ++stage.busy;
      if (index > 0) Schedule(index - 1);
    }
    StageCall call{&slice, {}, false};
    MARBLE_RETURN_NOT_OK(Call(stage, taken, std::move(item), &call));
    {
      std::lock_guard lock(mutex_);
      --stage.busy;
      Deliver(index, taken, number, &call);
      if (index + 1 < stages_.size()) Schedule(index + 1);
      Schedule(index);
      if (stage.ended) {
        --stage.tasks;
        return Progress::kDone;
      }
    }
    if (slice.exhausted()) return Progress::kMore;
  }
}

}  // namespace internal

Pipeline::Pipeline(TaskScheduler* scheduler, const PipelineOptions& options,
                   std::vector<internal::StageSpec> stages)
    : core_(std::make_unique<internal::PipelineCore>(scheduler, options, std::move(stages))) {}

Pipeline::~Pipeline() = default;

Status Pipeline::Run() {
  MARBLE_RETURN_NOT_OK(Start());
  return Wait();
}
Status Pipeline::Start() { return core_->Start(); }
Status Pipeline::Wait() { return core_->Wait(); }
void Pipeline::Cancel(const Status& reason) { core_->Cancel(reason); }
std::vector<StageStats> Pipeline::stats() const { return core_->stats(); }

}  // namespace marble::task
