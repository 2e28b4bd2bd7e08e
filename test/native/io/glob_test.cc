#include "io/glob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "io/memory_file_system.h"

namespace marble::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GlobTest : public testing::Test {
 protected:
  GlobTest() {
    for (const char* path : {"data/a.json", "data/b.json", "data/b.json.gz", "data/c.csv",
                             "data/.hidden.json", "data/2024/01/x.json", "data/2024/02/y.json",
                             "data/2025/01/z.json", "data/.git/config.json", "data/we[ird]{1}.json",
                             "data/back\\slash", "data/\xC5\x81.json", "top.json"}) {
      EXPECT_TRUE(fs_.CreateDirs(ParentOf(std::string("/") + path)).ok());
      EXPECT_TRUE(fs_.WriteFileAtomically(std::string("/") + path, "x").ok());
    }
  }
  std::vector<std::string> Match(const std::string& pattern) {
    auto found = Glob(&fs_, pattern);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : std::vector<std::string>();
  }
  MemoryFileSystem fs_;
};

TEST_F(GlobTest, StarAndQuestionMarkStayInOneNameAndLeaveHiddenFilesOut) {
  EXPECT_THAT(Match("/data/*.csv"), ElementsAre("/data/c.csv"));
  EXPECT_THAT(Match("/data/?.json"),
              ElementsAre("/data/a.json", "/data/b.json", "/data/\xC5\x81.json"));
  EXPECT_THAT(Match("/data/b*"),
              ElementsAre("/data/b.json", "/data/b.json.gz", "/data/back\\slash"));
  EXPECT_THAT(Match("/data/*b*j*n"), ElementsAre("/data/b.json"));
  EXPECT_THAT(Match("/data/.*.json"), ElementsAre("/data/.hidden.json"));
  EXPECT_THAT(Match("/data/*/*/*.json"),
              ElementsAre("/data/2024/01/x.json", "/data/2024/02/y.json", "/data/2025/01/z.json"));
}

TEST_F(GlobTest, SetsNameCharacters) {
  EXPECT_THAT(Match("/data/[ab].json"), ElementsAre("/data/a.json", "/data/b.json"));
  EXPECT_THAT(Match("/data/[b-z].*"),
              ElementsAre("/data/b.json", "/data/b.json.gz", "/data/c.csv"));
  EXPECT_THAT(Match("/data/[!a-z].json"), ElementsAre("/data/\xC5\x81.json"));
  EXPECT_THAT(Match("/data/[^b].json"), ElementsAre("/data/a.json", "/data/\xC5\x81.json"));
  EXPECT_THAT(Match("/data/[\xC5\x80-\xC5\x85].json"), ElementsAre("/data/\xC5\x81.json"));
  EXPECT_THAT(Match("/data/we[[]ird*"), ElementsAre("/data/we[ird]{1}.json"));
  EXPECT_THAT(Match("/data/we?ird[]]*"), ElementsAre("/data/we[ird]{1}.json"));
}

TEST_F(GlobTest, TwoStarsGoThroughAnyNumberOfFolders) {
  EXPECT_THAT(Match("/data/**/x.json"), ElementsAre("/data/2024/01/x.json"));
  EXPECT_THAT(Match("/data/2024/**"), ElementsAre("/data/2024/01/x.json", "/data/2024/02/y.json"));
  EXPECT_THAT(Match("/**/01/*.json"), ElementsAre("/data/2024/01/x.json", "/data/2025/01/z.json"));
  EXPECT_THAT(Match("/data/**/2024/**/*.json"),
              ElementsAre("/data/2024/01/x.json", "/data/2024/02/y.json"));
  EXPECT_THAT(Match("/**/[tx].json"), ElementsAre("/data/2024/01/x.json"));
  EXPECT_THAT(Match("/**/config.json"), IsEmpty()) << "hidden folders are left out";
}

TEST_F(GlobTest, BracesGiveAlternatives) {
  EXPECT_THAT(Match("/data/{a,b}.json"), ElementsAre("/data/a.json", "/data/b.json"));
  EXPECT_THAT(Match("/data/b.json{,.gz}"), ElementsAre("/data/b.json", "/data/b.json.gz"));
  EXPECT_THAT(Match("/data/{2024/{01,02},2025/*}/*.json"),
              ElementsAre("/data/2024/01/x.json", "/data/2024/02/y.json", "/data/2025/01/z.json"));
  EXPECT_THAT(Match("/{top,top,t?p}.json"), ElementsAre("/top.json")) << "each file once";
}

TEST_F(GlobTest, ABackslashTakesTheMeaningAway) {
  EXPECT_THAT(Match("/data/we\\[ird\\]\\{1\\}.json"), ElementsAre("/data/we[ird]{1}.json"));
  EXPECT_THAT(Match("/data/back\\\\slash"), ElementsAre("/data/back\\slash"));
  EXPECT_THAT(Match("/data/\\*.json"), IsEmpty());
}

TEST_F(GlobTest, NoMatchIsAnEmptyList) {
  EXPECT_THAT(Match("/data/*.parquet"), IsEmpty());
  EXPECT_THAT(Match("/nowhere/*/x"), IsEmpty());
  EXPECT_THAT(Match("/nowhere"), IsEmpty());
  EXPECT_THAT(Match("/data"), IsEmpty()) << "a folder is no file";
  EXPECT_THAT(Match("/top.json/*"), IsEmpty());
  EXPECT_THAT(Match("/top.json"), ElementsAre("/top.json"));
}

TEST_F(GlobTest, BadPatternsAreErrorsThatSayWhere) {
  for (const auto& [pattern, at] :
       {std::pair<std::string, int>{"/a[b", 2}, {"/a{b,c", 2}, {"/{a,[}", 4}, {"/{a,{b}", 1}}) {
    const Status status = Glob(&fs_, pattern).status();
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument) << pattern;
    EXPECT_THAT(status.message(), HasSubstr("'" + pattern + "'"));
    EXPECT_THAT(status.message(), HasSubstr("position " + std::to_string(at)));
  }
  std::string many = "/";
  for (int i = 0; i < 10; ++i) many += "{a,b,c}";
  EXPECT_THAT(Glob(&fs_, many).status().message(), HasSubstr("more than 1000"));
}

TEST_F(GlobTest, APatternIsToldFromAPath) {
  EXPECT_FALSE(IsPattern("/data/a.json"));
  for (const char* pattern : {"/a*", "/a?", "/[a]", "/{a}", "/\\a"})
    EXPECT_TRUE(IsPattern(pattern));
}

TEST(GlobLocalTest, LinksAreFollowedAndACircleOfThemEnds) {
  std::string pattern = std::filesystem::temp_directory_path() / "marble-glob-XXXXXX";
  const std::string dir = ::mkdtemp(pattern.data());
  const auto fs = FileSystem::Local();
  ASSERT_TRUE(fs->CreateDirs(dir + "/a/b").ok());
  ASSERT_TRUE(fs->WriteFileAtomically(dir + "/a/b/f", "x").ok());
  ASSERT_EQ(::symlink("..", (dir + "/a/b/up").c_str()), 0);
  ASSERT_EQ(::symlink("a", (dir + "/link").c_str()), 0);
  const auto found = Glob(fs.get(), dir + "/**/f").ValueOrDie();
  EXPECT_THAT(found, testing::Contains(dir + "/a/b/f"));
  EXPECT_THAT(found, testing::Contains(dir + "/link/b/f"));
  EXPECT_LT(found.size(), 10u);
  ASSERT_EQ(::chdir(dir.c_str()), 0);
  EXPECT_THAT(Glob(fs.get(), "a/*/f").ValueOrDie(), ElementsAre("a/b/f"));
  EXPECT_THAT(Glob(fs.get(), "*/b/f").ValueOrDie(), ElementsAre("a/b/f", "link/b/f"));
  ASSERT_EQ(::chdir("/"), 0);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace marble::io
