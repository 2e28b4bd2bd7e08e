// The kernel's files as containers show them; the numbers expected are worked out by hand.
#include "task/cpu_limit.h"

#include <gtest/gtest.h>

#include <map>

namespace marble::task {
namespace {

using Files = std::map<std::string, std::string>;

CpuLimit Compute(int affinity, const Files& files) {
  return ComputeCpuLimit(affinity, [&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  });
}

const char kV2Mount[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";
const char kV1Mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n";

TEST(CpuLimitTest, WithoutControlGroupsTheAffinityMaskDecides) {
  EXPECT_EQ(Compute(6, {}).cpus, 6);
  EXPECT_EQ(Compute(6, {}).reason, "affinity mask");
  EXPECT_EQ(Compute(0, {}).cpus, 1);
}

TEST(CpuLimitTest, V2QuotaRoundsUp) {
  Files files{{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", kV2Mount}};
  const std::pair<const char*, int> cases[] = {
      {"max 100000\n", 64}, {"150000 100000\n", 2}, {"200000 100000\n", 2}, {"50000 100000\n", 1},
      {"1000 100000\n", 1}, {"100001 100000\n", 2}, {"400000 200000\n", 2}, {"100000 1000\n", 64},
  };
  for (const auto& [text, cpus] : cases) {
    files["/sys/fs/cgroup/cpu.max"] = text;
    EXPECT_EQ(Compute(64, files).cpus, cpus) << text;
  }
  files["/sys/fs/cgroup/cpu.max"] = "150000 100000\n";
  EXPECT_EQ(Compute(64, files).reason, "quota 150000/100000 in /sys/fs/cgroup/cpu.max");
  EXPECT_EQ(Compute(1, files).cpus, 1);
  EXPECT_EQ(Compute(1, files).reason, "affinity mask");
}

TEST(CpuLimitTest, V2TightestAncestorDecides) {
  Files files{{"/proc/self/cgroup", "0::/kube/pod7/main\n"},
              {"/proc/self/mountinfo", kV2Mount},
              {"/sys/fs/cgroup/kube/pod7/main/cpu.max", "800000 100000"},
              {"/sys/fs/cgroup/kube/pod7/cpu.max", "300000 100000"},
              {"/sys/fs/cgroup/kube/cpu.max", "max 100000"},
              {"/sys/fs/cgroup/cpu.max", "1600000 100000"}};
  EXPECT_EQ(Compute(64, files).cpus, 3);
  EXPECT_EQ(Compute(64, files).reason, "quota 300000/100000 in /sys/fs/cgroup/kube/pod7/cpu.max");
}

TEST(CpuLimitTest, V1QuotaOfTheCpuController) {
  Files files{
      {"/proc/self/cgroup",
       "9:cpuset:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/x\n"},
      {"/proc/self/mountinfo", kV1Mounts},
      {"/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      // Another controller's hierarchy must not be taken for it.
      {"/sys/fs/cgroup/cpuset/docker/abc/cpu.cfs_quota_us", "100000\n"},
      {"/sys/fs/cgroup/cpuset/docker/abc/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(Compute(16, files).cpus, 3);
  files["/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_EQ(Compute(16, files).cpus, 16);
}

TEST(CpuLimitTest, InsideAContainerTheMountShowsOnlyItsOwnGroup) {
  // The path in /proc/self/cgroup is the host's; what is mounted begins at the container's group.
  Files files{{"/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n"},
              {"/proc/self/mountinfo",
               "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"},
              {"/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "700000"},
              {"/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000"},
              {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000"},
              {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}};
  EXPECT_EQ(Compute(16, files).cpus, 4);
  // A group that is not below what is mounted (also: a name that only begins the same).
  for (const char* group : {"/other", "/docker/abcdef", "/../../elsewhere"}) {
    files["/proc/self/cgroup"] = std::string("4:cpu,cpuacct:") + group + "\n";
    EXPECT_EQ(Compute(16, files).cpus, 4) << group;
  }
}

TEST(CpuLimitTest, BothVersionsMountedTheTighterDecides) {
  Files files{{"/proc/self/cgroup", "1:cpu:/a\n0::/b\n"},
              {"/proc/self/mountinfo",
               "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
               "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"},
              {"/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "500000"},
              {"/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000"},
              {"/sys/fs/cgroup/unified/b/cpu.max", "200000 100000"}};
  EXPECT_EQ(Compute(16, files).cpus, 2);
  files["/sys/fs/cgroup/unified/b/cpu.max"] = "900000 100000";
  EXPECT_EQ(Compute(16, files).cpus, 5);
}

TEST(CpuLimitTest, MountPointsWithSpacesAreUnescaped) {
  const Files files{{"/proc/self/cgroup", "0::/a b\n"},
                    {"/proc/self/mountinfo", "30 23 0:26 / /mnt/c\\040g rw - cgroup2 cgroup2 rw\n"},
                    {"/mnt/c g/a b/cpu.max", "100000 100000"}};
  EXPECT_EQ(Compute(8, files).cpus, 1);
}

TEST(CpuLimitTest, NonsenseIsNoLimit) {
  for (const char* text : {"", "\n", "abc", "100000", "100000 ", "100000 0", "-5 100000",
                           "0 100000", "1e5 100000", "99999999999999999999 100000", "max"}) {
    const Files files{{"/proc/self/cgroup", "0::/\n"},
                      {"/proc/self/mountinfo", kV2Mount},
                      {"/sys/fs/cgroup/cpu.max", text}};
    EXPECT_EQ(Compute(8, files).cpus, 8) << '"' << text << '"';
  }
  for (const char* text : {"", "garbage", "0:/\n", ":::\n", "0::\n", "a:b"}) {
    const Files files{{"/proc/self/cgroup", text}, {"/proc/self/mountinfo", kV2Mount}};
    EXPECT_EQ(Compute(8, files).cpus, 8) << '"' << text << '"';
  }
  for (const char* text : {"", " - ", "1 2 3 - cgroup2 x y", "1 2 3 4 5 6 - cgroup2"}) {
    const Files files{{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", text}};
    EXPECT_EQ(Compute(8, files).cpus, 8) << '"' << text << '"';
  }
}

TEST(CpuLimitTest, ThisMachineHasAtLeastOneCpuAndAReason) {
  const CpuLimit limit = DetectCpuLimit();
  EXPECT_GE(limit.cpus, 1);
  EXPECT_FALSE(limit.reason.empty());
}

}  // namespace
}  // namespace marble::task
