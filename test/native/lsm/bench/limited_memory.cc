#include "limited_memory.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

#include "memory_cgroup.h"
#include "model_side.h"
#include "workload.h"

namespace marble::lsm::bench {
namespace {

constexpr uint64_t kDataToMemory = 3;
constexpr uint64_t kOperations = 200'000;  // each may be a read of the disk

struct Step {
  Work work;
  const char* name;
  bool writes;
};
constexpr Step kSteps[] = {{Work::kFillRandom, "fill random", true},
                           {Work::kReadRandom, "read random", false},
                           {Work::kMix, "mix, 90 % reads 10 % puts", true}};
constexpr size_t kNumSteps = std::size(kSteps);

/// What the child says through the pipe.
struct Message {
  Sample samples[kNumSteps];
  char shape[160];
  char error[512];  // empty: all went well
};
static_assert(std::is_trivially_copyable_v<Message>);

void CopyText(const std::string& text, char* to, size_t size) {
  std::snprintf(to, size, "%s", text.c_str());
}

Status RunSteps(const std::vector<Assignment>& assignments, const std::string& dir,
                const WorkDirectory& directory, StoreSide* side, Message* out) {
  MARBLE_RETURN_NOT_OK(side->Open(dir));
  for (size_t i = 0; i < kNumSteps; ++i) {
    Sample& sample = out->samples[i];
    const Usage before = Usage::Now();
    sample.outcome = RunWork(kSteps[i].work, assignments[i], side);
    sample.cost = Cost::Between(before, Usage::Now());
    MARBLE_RETURN_NOT_OK(side->error());
    if (kSteps[i].work != Work::kFillRandom) continue;
    MARBLE_RETURN_NOT_OK(side->Settle());
    MARBLE_RETURN_NOT_OK(WaitUntilQuiet([side] { return side->Busy(); }));
    directory.SyncFileSystem();
    const Usage quiet = Usage::Now();
    sample.background_seconds = quiet.seconds - before.seconds - sample.cost.seconds;
    sample.written_bytes = quiet.written_bytes - before.written_bytes;
    sample.cancelled_bytes = quiet.cancelled_bytes - before.cancelled_bytes;
    CopyText(side->Shape(), out->shape, sizeof(out->shape));
  }
  return side->Close();
}

/// In the child: join, run, answer.
[[noreturn]] void RunChild(const MemoryCgroup& cgroup, const std::vector<Assignment>& assignments,
                           const std::string& dir, const WorkDirectory& directory,
                           const std::function<std::unique_ptr<StoreSide>()>& make_side, int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Message message{};
  Status status = cgroup.Join();
  if (status.ok()) {
    const std::unique_ptr<StoreSide> side = make_side();
    status = RunSteps(assignments, dir, directory, side.get(), &message);
  }
  if (!status.ok()) CopyText(MessageOf(status), message.error, sizeof(message.error));
  const auto* at = reinterpret_cast<const char*>(&message);
  size_t left = sizeof(message);
  while (left > 0) {
    const ssize_t n = ::write(pipe, at, left);
    if (n <= 0) ::_exit(1);
    at += n;
    left -= static_cast<size_t>(n);
  }
  ::_exit(0);
}

/// False when the child ended before it said everything.
bool ReadMessage(int pipe, Message* message) {
  auto* at = reinterpret_cast<char*>(message);
  size_t left = sizeof(*message);
  while (left > 0) {
    const ssize_t n = ::read(pipe, at, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    left -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

uint64_t KeysForMemory(uint64_t memory) {
  return memory * kDataToMemory / (kKeyBytes + kValueBytes);
}

Status RunInLimitedMemory(
    uint64_t memory, const ExperimentOptions& options,
    const std::function<std::unique_ptr<StoreSide>(const std::string&)>& make_side,
    const WorkDirectory& directory, Results* results, Progress progress) {
  const Rows rows(KeysForMemory(memory), options.key_shape);
  for (int round = 0; round < options.rounds; ++round) {
    ModelSide model(&rows);
    MARBLE_RETURN_NOT_OK(model.Open(""));
    std::vector<Assignment> assignments;
    std::vector<Outcome> truth;
    for (size_t i = 0; i < kNumSteps; ++i) {
      Assignment a;
      a.rows = &rows;
      a.operations = options.operations > 0 ? options.operations : kOperations;
      a.seed = i * 1000 + static_cast<uint64_t>(round) + 1;
      a.version = static_cast<uint8_t>(i);
      if (kSteps[i].work == Work::kFillRandom) a.order = rows.Shuffled(a.seed);
      truth.push_back(RunWork(kSteps[i].work, a, &model));
      assignments.push_back(std::move(a));
    }
    std::vector<size_t> order(results->sides.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (round % 2 == 1) std::reverse(order.begin(), order.end());
    for (const size_t side : order) {
      const std::string& name = results->sides[side];
      MARBLE_ASSIGN_OR_RETURN(
          const auto cgroup,
          MemoryCgroup::Make("store-bench-" + std::to_string(::getpid()), memory));
      MARBLE_ASSIGN_OR_RETURN(const std::string dir, directory.Fresh(name));
      int ends[2];
      if (::pipe(ends) != 0) return IoError("make", "a pipe", errno);
      const pid_t child = ::fork();
      if (child < 0) return IoError("start", "a child process", errno);
      if (child == 0) {
        ::close(ends[0]);
        RunChild(*cgroup, assignments, dir, directory, [&] { return make_side(name); }, ends[1]);
      }
      WorkDirectory::AlsoEnd(child, cgroup->path());
      ::close(ends[1]);
      Message message{};
      const bool answered = ReadMessage(ends[0], &message);
      ::close(ends[0]);
      int ended = 0;
      ::waitpid(child, &ended, 0);
      WorkDirectory::AlsoEnd(0, "");
      std::string failure = message.error;
      if (!answered) {
        failure = WIFSIGNALED(ended)
                      ? "its process was ended by signal " + std::to_string(WTERMSIG(ended)) +
                            (WTERMSIG(ended) == SIGKILL ? " (out of memory)" : "")
                      : "its process ended without an answer";
      }
      if (!failure.empty()) {
        results->failures.push_back("round " + std::to_string(round + 1) + ", " + name + ": " +
                                    failure);
        if (progress) progress(results->failures.back());
        directory.Remove(name);
        continue;
      }
      std::string text = "round " + std::to_string(round + 1) + ", " + name;
      for (size_t i = 0; i < kNumSteps; ++i) {
        LineResult* line = results->Line(rows.count(), "limited memory", kSteps[i].name);
        line->writes = kSteps[i].work == Work::kFillRandom;
        const Sample& sample = message.samples[i];
        if (!sample.outcome.Agrees(truth[i])) {
          line->void_because = name + " has answered otherwise than what was written";
        }
        line->samples[side].push_back(sample);
        char number[160];
        std::snprintf(number, sizeof(number), ", %s %.1fk/s (%.1f KiB read per operation)",
                      kSteps[i].name, line->NumberOf(sample) / 1e3,
                      static_cast<double>(sample.cost.read_bytes) / 1024 /
                          static_cast<double>(sample.outcome.operations));
        text += number;
      }
      ShapeResult* shape = results->Shape(rows.count(), "limited memory");
      shape->shapes[side] = message.shape;
      shape->use[side] = WorkDirectory::UseOf(dir);
      if (progress) {
        progress(text + ", most memory " + std::to_string(cgroup->MostUsed() >> 20) + " MiB");
      }
      directory.Remove(name);
    }
  }
  return Status::OK();
}

}  // namespace marble::lsm::bench
