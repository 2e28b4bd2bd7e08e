// What JavaScript holds of a long call: it may cancel it and ask how far it is.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "lsm/backup/copy_file.h"
#include "napi/handle.h"

namespace marble::napi {

/// Cancelled when the environment ends, since its worker threads are joined then. Any thread but
/// for Close.
class OperationHandle final : public Handle {
 public:
  static constexpr Kind kKind = Kind::kOperation;
  OperationHandle() : Handle(kKind) {}
  void Close() override { cancelled.store(true); }

  static lsm::CopyControl ControlOf(const std::shared_ptr<OperationHandle>& operation) {
    lsm::CopyControl control;
    control.progress = [operation](uint64_t done, uint64_t total) {
      operation->total.store(total);
      operation->done.store(done);
    };
    control.cancelled = [operation] { return operation->cancelled.load(); };
    return control;
  }

  std::atomic<bool> cancelled{false};
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> total{0};
};

}  // namespace marble::napi
