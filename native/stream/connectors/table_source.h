// The connector 'marbledb' as a source: one scan of a local table as it was when the job
// started; bounded. An offset says behind which row to go on: the hex digits of its encoded key
// as a JSON string, or a count of rows where the table has no key.
#pragma once

#include <memory>

#include "lsm/db.h"
#include "stream/source.h"

namespace marble::stream {

/// kTableNotFound, kColumnNotFound, or kSchema when a column has another type.
Result<std::unique_ptr<Source>> MakeTableSource(const SourceSpec& spec,
                                                const std::shared_ptr<lsm::DB>& db);

}  // namespace marble::stream
