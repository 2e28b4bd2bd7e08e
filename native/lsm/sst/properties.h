// The properties section of an .idx file: what a file says about itself. A list of tagged
// values, so that more can be added; a reader ignores tags that it does not know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "lsm/sst/file_schema.h"

namespace marble::lsm {

struct SstProperties {
  uint64_t rows = 0;
  uint64_t batches = 0;
  uint64_t arrow_bytes = 0;
  uint64_t type_fingerprint = 0;  // of the file's schema, hidden columns included
  SequenceNumber min_sequence = 0;
  SequenceNumber max_sequence = 0;
  uint64_t tombstones = 0;
  uint64_t distinct_keys = 0;
  std::string min_key;
  std::string max_key;
  HiddenColumns hidden;
  std::vector<int> key_columns;     // of the file's columns; empty: no primary key
  std::vector<uint32_t> field_ids;  // of the file's columns; empty (older releases): 1, 2, 3 …
  bool clean = false;
  int64_t min_expires = 0;  // of the rows that expire; 0: none does
  int64_t max_expires = 0;
  uint64_t expiring = 0;        // rows that expire
  uint64_t merge_operands = 0;  // counted among the tombstones
};

std::string EncodeProperties(const SstProperties& properties);
/// The error is a bare sentence.
Result<SstProperties> DecodeProperties(std::string_view section);

}  // namespace marble::lsm
