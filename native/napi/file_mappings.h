// The private, copy-on-write mappings of SSTables that JavaScript of one environment sees: one
// external ArrayBuffer per file, shared by all its batches. A write from JavaScript goes to a
// private page: it harms neither the file nor the process.
//
// JS thread only. A mapping lives as long as its ArrayBuffer (unmapped by its finalizer, which
// detaching brings about), independent of the database and of the file's name.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "lsm/sst/sst_reader.h"

namespace marble::napi {

class FileMappings {
 public:
  /// The ArrayBuffer over a file, made on first use. Null, without an exception, when external
  /// buffers or the mapping are refused or the file has no name any more: the caller copies.
  napi_value Get(napi_env env, const std::shared_ptr<const lsm::SstReader>& file);
  /// Whether the memory of an ArrayBuffer is such a mapping.
  bool IsMapped(const void* data) const;

  struct Usage {
    uint64_t files = 0;
    uint64_t bytes = 0;
    uint64_t obsolete_bytes = 0;  // of files that the database has dropped
  };
  Usage usage() const;
  struct Mapping {
    std::string path;
    uintptr_t address;
    uint64_t size;
  };
  std::vector<Mapping> list() const;

 private:
  struct Live;  // counts live mappings; outlives this object with the last buffer
  struct Entry {
    std::weak_ptr<const lsm::SstReader> file;
    napi_ref buffer;  // weak
  };
  void Prune(napi_env env);
  std::unordered_map<const lsm::SstReader*, Entry> entries_;
  std::shared_ptr<Live> live_;

 public:
  FileMappings();
  ~FileMappings();
};

}  // namespace marble::napi
