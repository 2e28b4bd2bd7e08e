// Cooperative cancellation: a source is told to cancel, tokens are polled by whoever works.
//
// A source may have parents: it is cancelled with the first of them. Cancelling walks down to
// all descendants, so that a poll is one load however deep the tree is. The first reason stays.
//
// Owned by value: a source and its tokens share one state, which lives as long as any of them or
// any descendant does. Thread-safe. Nothing is interrupted: work that never polls runs to its end.
#pragma once

#include <atomic>
#include <initializer_list>
#include <memory>

#include "base/status.h"

namespace marble::task {

namespace internal {
struct CancellationState;
}

/// What work polls. Cheap to copy; a default one is never cancelled.
class CancellationToken {
 public:
  CancellationToken() = default;

  /// One load.
  bool cancelled() const { return flag_ != nullptr && flag_->load(std::memory_order_acquire); }
  /// OK, or the reason once cancelled.
  Status Check() const { return cancelled() ? reason() : Status::OK(); }

 private:
  friend class CancellationSource;
  explicit CancellationToken(std::shared_ptr<internal::CancellationState> state);
  Status reason() const;
  std::shared_ptr<internal::CancellationState> state_;
  const std::atomic<bool>* flag_ = nullptr;  // in *state_
};

class CancellationSource {
 public:
  /// Cancelled by Cancel, or with the first of `parents` that is.
  explicit CancellationSource(std::initializer_list<CancellationToken> parents = {});

  /// Cancel this source and all that descend from it; true if it was not cancelled before.
  /// `reason` is usually kAborted and says who cancelled and why.
  bool Cancel(const Status& reason) const;
  bool cancelled() const { return token_.cancelled(); }
  const CancellationToken& token() const { return token_; }

 private:
  CancellationToken token_;
};

}  // namespace marble::task
