#include "lsm/read/merge_chain.h"

namespace marble::lsm {

void MergeChain::Add(std::string_view bytes, int64_t expires, std::shared_ptr<const void> owner,
                     bool base) {
  if (complete_) return;
  if (!versions_.empty() && expires != 0 && versions_.back().expires != 0) {
    const int64_t newer_written = versions_.back().expires - info_.descriptor.options.ttl_ms;
    if (expires <= newer_written) {
      complete_ = true;
      return;
    }
  }
  versions_.push_back({bytes, expires, std::move(owner)});
  complete_ = base;
}

std::string MergeChain::Fold(std::string_view key) const {
  std::string value(versions_.back().bytes);
  std::string next;
  for (size_t i = versions_.size() - 1; i-- > 0;) {
    next.clear();
    info_.merge_operator->Merge(key, value, versions_[i].bytes, &next);
    value.swap(next);
  }
  return value;
}

}  // namespace marble::lsm
