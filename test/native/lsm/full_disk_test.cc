// A disk that is full for a while, for real: a child process mounts a small file system in memory
// where nobody else sees it, and fills it. Skipped where mounting is not allowed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "db_fixture.h"
#include "lsm/version/manifest_log.h"

extern char** environ;

namespace marble::lsm {
namespace {

using namespace testing;
using ::testing::HasSubstr;

constexpr const char* kDirVariable = "MARBLE_FULL_DISK_CHILD_DIR";
constexpr int kNotAllowed = 77;

bool WriteText(const char* path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  return file.good();
}

/// A file system of so many bytes at `dir`, for this process alone.
bool MountSmallDisk(const std::string& dir, size_t bytes) {
  const auto uid = std::to_string(getuid()), gid = std::to_string(getgid());
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    WriteText("/proc/self/setgroups", "deny");
    if (!WriteText("/proc/self/uid_map", "0 " + uid + " 1") ||
        !WriteText("/proc/self/gid_map", "0 " + gid + " 1")) {
      return false;
    }
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  return mount("tmpfs", dir.c_str(), "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) == 0;
}

uint64_t FreeBytes(const std::string& dir) {
  struct statvfs fs;
  if (::statvfs(dir.c_str(), &fs) != 0) std::abort();
  return static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
}

/// Something else that takes up the disk but for so many bytes.
class Ballast {
 public:
  Ballast(const std::string& dir, uint64_t leave) : path_(dir + "/ballast") {
    const int fd = open(path_.c_str(), O_CREAT | O_WRONLY, 0600);
    const uint64_t free = FreeBytes(dir);
    if (fd < 0 || free < leave || posix_fallocate(fd, 0, static_cast<off_t>(free - leave)) != 0) {
      std::abort();
    }
    close(fd);
  }
  ~Ballast() { unlink(path_.c_str()); }

 private:
  const std::string path_;
};

template <typename Condition>
bool Eventually(const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::string Key(int i) { return "key" + std::to_string(1'000'000 + i); }

TEST(FullDiskChild, DISABLED_Runs) {
  const char* dir_text = getenv(kDirVariable);
  if (dir_text == nullptr) GTEST_SKIP() << "started by the FullDisk test only";
  if (!MountSmallDisk(dir_text, 16 << 20)) std::_Exit(kNotAllowed);
  const std::string disk = dir_text, dir = disk + "/db";
  std::atomic<int> no_space{0}, errors{0};
  DbOptions options;
  options.log_segment_bytes = 256 << 10;
  options.target_file_bytes = 64 << 10;
  options.level_base_bytes = 1 << 20;
  options.max_block_ms = 60'000;
  options.listener = [&](const DbEvent& event) {
    no_space += event.kind == DbEvent::Kind::kNoSpace;
    errors += event.kind == DbEvent::Kind::kBackgroundError;
  };
  auto db = Must(DB::Open(dir, options));
  auto s = Must(db->CreateTable(StateFamily("s"), false));
  int rows = 0;
  const auto fill = [&](int count) {
    for (int i = 0; i < count; ++i, ++rows) {  // keys of one fill lie between those of others
      PutOne(db.get(), s, Key(rows * 7919 % 1'000'000), std::string(1000, 'v'));
    }
  };
  const auto files = [&] {
    size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      n += entry.path().extension() == ".arrow";
    }
    return n;
  };
  const auto named = [&] {
    return Must(ManifestLog::Load(io::FileSystem::Local().get(), dir))->state.files.size();
  };

  // Some flushes, which compactions will not be able to merge.
  db->SetCompactionRate(1);
  for (int i = 0; i < 10; ++i) {
    fill(400);
    Must(db->Flush());
  }
  {
    Ballast ballast(disk, 1 << 20);
    db->SetCompactionRate(0);
    ASSERT_TRUE(Eventually([&] { return no_space > 0; }));
    EXPECT_TRUE(Eventually([&] { return files() == named(); })) << "what it wrote is removed";
    EXPECT_GE(named(), 10u);
    PutOne(db.get(), s, "still", "writable");
    EXPECT_EQ(GetState(db.get(), s, Key(7919)), std::string(1000, 'v'));
    const Status asked = db->Compact("s");
    EXPECT_EQ(CodeOf(asked), ErrorCode::kNoSpace) << asked;
  }
  ASSERT_TRUE(Eventually(
      [&] { return db->metrics().compactions > 0 && db->metrics().running_compactions == 0; }));
  EXPECT_EQ(ScanState(db.get(), s).size(), static_cast<size_t>(rows) + 1);

  // A flush, too, waits for room; who asked for it hears why.
  fill(100);
  {
    Ballast ballast(disk, 16 << 10);
    const Status full = db->Flush();
    EXPECT_EQ(CodeOf(full), ErrorCode::kNoSpace) << full;
    EXPECT_EQ(GetState(db.get(), s, "still"), "writable");
  }
  ASSERT_OK(db->Flush());
  EXPECT_EQ(errors, 0);
  ASSERT_OK(db->Close());
  db = Must(DB::Open(dir, options));
  s = Must(db->GetTable("s"));
  EXPECT_EQ(ScanState(db.get(), s).size(), static_cast<size_t>(rows) + 1);
  ASSERT_OK(db->Close());
}

TEST(FullDisk, IsTriedAgainWhenThereIsRoom) {
  TempDir dir;
  std::vector<std::string> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  environment.push_back(std::string(kDirVariable) + "=" + dir.path());
  std::vector<std::string> arguments = {"lsm_test", "--gtest_filter=FullDiskChild.DISABLED_Runs",
                                        "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
  std::vector<char*> argv, envp;
  for (auto& a : arguments) argv.push_back(a.data());
  for (auto& e : environment) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), envp.data()), 0);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << "the child died of signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == kNotAllowed) GTEST_SKIP() << "mounting is not allowed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace marble::lsm
