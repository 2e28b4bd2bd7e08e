// The seam for stores of key/value state: what an operator or a service needs of one, and no more.
// Chosen by name: 'marbledb' (a state family of the engine) and 'memory' (an ordered map that ends
// with its object). Others register a factory. All keep the same contract, and
// test/native/state/state_backend_test.cc runs it on each.
//
// Contract
//  - Keys and values are any bytes, also none. Keys are ordered as unsigned bytes.
//  - A Put or Delete that returned OK is seen by every later Get and Scan.
//  - A Scan sees the state as it was at the call, whatever is written meanwhile, also by its own
//    callback.
//  - What a persistent backend acknowledged is there after Close and Open of the same config, and
//    after the death of the process.
//  - Before Open and after Close every call but those two is kClosed; a second Close is harmless.
//
// Thread-safe, except Open and Close.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace marble::state {

struct StorageConfig {
  /// Where it lies; backends that keep nothing ignore it. ':memory:' for the engine in memory.
  std::string path;
  /// Several states under one path are told apart by their names.
  std::string name = "default";
};

class StateBackend {
 public:
  virtual ~StateBackend() = default;

  /// kInvalidArgument when it is open already, else what keeps it from opening.
  virtual Status Open(const StorageConfig& config) = 0;
  virtual Status Close() = 0;
  /// Whether what was written survives Close.
  virtual bool persistent() const = 0;

  /// nullopt: there is no such key.
  virtual Result<std::optional<std::string>> Get(std::string_view key) const = 0;
  virtual Status Put(std::string_view key, std::string_view value) = 0;
  /// A key that is not there is no error.
  virtual Status Delete(std::string_view key) = 0;
  /// Key and value are valid during the call. False: enough.
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;
  /// Keys in [start, end), ascending; `end` empty: to the last.
  virtual Status Scan(std::string_view start, std::string_view end, const Visit& visit) const = 0;
};

using StateBackendFactory = std::function<std::unique_ptr<StateBackend>()>;
/// kInvalidArgument when the name is taken. Any thread.
Status RegisterStateBackend(const std::string& name, StateBackendFactory factory);
/// A closed backend. kNotFound names those there are.
Result<std::unique_ptr<StateBackend>> MakeStateBackend(const std::string& name);
std::vector<std::string> StateBackendNames();

}  // namespace marble::state
