// Columns added, dropped and renamed.
//
//   1. Flush what the table has in memory, while its writers go on.
//   2. Keep the writers out (TableState::gate) and flush the rest. Now files hold every row, and
//      the log from where it is needed has no record of the table: nothing written with the old
//      schema will ever be read with the new one but files, whose columns are found by field id.
//   3. Under the manifest's lock, where no file comes or goes: open the files with the new schema,
//      append the edit, install. Handles of before are refused from here on.
//
// A crash leaves the old schema or, once the edit is durable, the new one. What runs meanwhile (a
// compaction, a bulk load) ends with files of the old schema, which are opened with the new one
// when they are installed. Iterators have a version of before, its readers and its schema; so have
// the snapshots that live then, for those who read with them through a handle of before.
#include <arrow/api.h>

#include <chrono>
#include <thread>

#include "lsm/db_impl.h"

namespace marble::lsm {
namespace {

/// Nobody writes to a table while this lives.
class ClosedGate {
 public:
  explicit ClosedGate(WriterGate* gate) : gate_(gate) {
    gate_->Close();
    while (!gate_->empty()) std::this_thread::sleep_for(WriterGate::kPoll);
  }
  ~ClosedGate() { gate_->Open(); }
  ClosedGate(const ClosedGate&) = delete;
  ClosedGate& operator=(const ClosedGate&) = delete;

 private:
  WriterGate* const gate_;
};

}  // namespace

Result<TableHandle> DbImpl::AlterTable(const std::string& name, const TableChange& change) {
  const CallGuard guard(&calls_);
  const task::BlockingScope blocking;
  std::lock_guard alter_lock(alter_mutex_);
  MARBLE_RETURN_NOT_OK(CheckWritable());
  MARBLE_ASSIGN_OR_RETURN(const TableHandle before, GetTable(name));
  const TableDescriptor& descriptor = before->info().descriptor;
  if (descriptor.is_state_family || descriptor.is_system) {
    return MakeError(ErrorCode::kNotSupported,
                     (descriptor.is_system ? "table '" : "state family '") + name +
                         "' is the database's own: its columns cannot be changed");
  }
  MARBLE_ASSIGN_OR_RETURN(TableDescriptor changed, Changed(descriptor, change));
  MARBLE_ASSIGN_OR_RETURN(auto info, TableInfo::Make(std::move(changed)));
  const auto in_memory = [&before] { return !before->super_version()->memtables.empty(); };
  if (in_memory()) MARBLE_RETURN_NOT_OK(Flush());
  const ClosedGate closed(&before->gate());
  if (in_memory()) MARBLE_RETURN_NOT_OK(Flush());
  return InstallSchema(before, std::move(info));
}

Result<TableHandle> DbImpl::InstallSchema(const TableHandle& before,
                                          std::shared_ptr<const TableInfo> info) {
  auto after = std::make_shared<TableState>(std::move(info), *before);
  const TableInfo& now = after->info();
  std::vector<LevelFile> files;
  MARBLE_RETURN_NOT_OK(LogAndInstall(
      [&]() -> Result<std::optional<VersionEdit>> {
        if (before->dropped()) {
          return MakeError(ErrorCode::kTableNotFound,
                           "table '" + now.name() + "' has been dropped");
        }
        const SuperVersionRef version = before->super_version();
        if (!version->memtables.empty()) {
          return MakeError(ErrorCode::kInternal, "table '" + now.name() +
                                                     "' has rows in memory after its flush, while "
                                                     "its columns are being changed");
        }
        Status opened;
        version->files->ForEachFile([&](int level, const SstFileRef& file) {
          if (!opened.ok()) return;
          auto reader =
              SstReader::Open(ReaderOptionsOf(now, LoadIndex::kAtFirstRead), file->reader->meta());
          opened = reader.status();
          if (!opened.ok()) return;
          files.push_back({level, std::make_shared<SstFile>(*file, *std::move(reader))});
        });
        MARBLE_RETURN_NOT_OK(opened);
        VersionEdit edit;
        edit.altered_tables.push_back(TableColumns::Of(now.descriptor));
        return edit;
      },
      [&] {
        auto version = std::make_shared<SuperVersion>();
        version->info = after->info_ref();
        version->files = ChangeTableVersion({}, {}, std::move(files));
        // No record of the table is being written: the next one is of the new schema.
        after->BecomeCurrent(last_sequence());
        snapshots_->KeepWhile(before->super_version(),
                              [&] { after->InstallSuperVersion(std::move(version)); });
        tables_[after->id()] = after;
        tables_by_name_[now.name()] = after;
        UpdateShape(after.get());
      }));
  return after;
}

}  // namespace marble::lsm
