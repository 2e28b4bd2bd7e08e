#include "task/cancellation.h"

#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

namespace marble::task {
namespace internal {

struct CancellationState : std::enable_shared_from_this<CancellationState> {
  ~CancellationState() {
    for (const auto& parent : parents) {
      std::lock_guard lock(parent->mutex);
      parent->children.erase(this);
    }
  }

  std::atomic<bool> cancelled{false};
  std::vector<std::shared_ptr<CancellationState>> parents;  // const once made
  std::mutex mutex;
  // State below is protected by mutex.
  Status reason;
  std::unordered_set<CancellationState*> children;
};

namespace {

/// No lock is held while another is taken, so the order of sources in the tree does not matter.
bool CancelTree(std::shared_ptr<CancellationState> root, const Status& reason) {
  bool first = false;
  std::vector<std::shared_ptr<CancellationState>> left;
  left.push_back(std::move(root));
  for (bool at_root = true; !left.empty(); at_root = false) {
    const std::shared_ptr<CancellationState> state = std::move(left.back());
    left.pop_back();
    std::lock_guard lock(state->mutex);
    if (state->cancelled.load(std::memory_order_relaxed)) continue;
    first |= at_root;
    state->reason = reason;
    state->cancelled.store(true, std::memory_order_release);
    for (CancellationState* child : state->children) {
      // A child whose last holder is just letting go waits for this lock in its destructor.
      if (auto alive = child->weak_from_this().lock()) left.push_back(std::move(alive));
    }
  }
  return first;
}

}  // namespace
}  // namespace internal

CancellationToken::CancellationToken(std::shared_ptr<internal::CancellationState> state)
    : state_(std::move(state)), flag_(&state_->cancelled) {}

Status CancellationToken::reason() const {
  std::lock_guard lock(state_->mutex);
  return state_->reason;
}

CancellationSource::CancellationSource(std::initializer_list<CancellationToken> parents)
    : token_(std::make_shared<internal::CancellationState>()) {
  internal::CancellationState& own = *token_.state_;
  for (const CancellationToken& parent : parents) {
    if (parent.state_ == nullptr) continue;
    Status cancelled;
    own.parents.push_back(parent.state_);
    {
      std::lock_guard lock(parent.state_->mutex);
      // Under the parent's lock: either it is cancelled already, or its Cancel will see the child.
      if (parent.cancelled()) {
        cancelled = parent.state_->reason;
      } else {
        parent.state_->children.insert(&own);
      }
    }
    if (!cancelled.ok()) Cancel(cancelled);
  }
}

bool CancellationSource::Cancel(const Status& reason) const {
  if (reason.ok()) {
    return internal::CancelTree(token_.state_,
                                MakeError(ErrorCode::kAborted, "cancelled, no reason given"));
  }
  return internal::CancelTree(token_.state_, reason);
}

}  // namespace marble::task
