#include "task/cancellation.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace marble::task {
namespace {

Status Because(const std::string& why) { return MakeError(ErrorCode::kAborted, why); }

TEST(CancellationTest, DefaultTokenIsNeverCancelled) {
  CancellationToken token;
  EXPECT_FALSE(token.cancelled());
  EXPECT_TRUE(token.Check().ok());
}

TEST(CancellationTest, TokensSeeTheFirstReason) {
  CancellationSource source;
  const CancellationToken token = source.token();
  EXPECT_FALSE(token.cancelled());
  EXPECT_TRUE(source.Cancel(Because("the first")));
  EXPECT_FALSE(source.Cancel(Because("the second")));
  EXPECT_TRUE(token.cancelled());
  EXPECT_EQ(MessageOf(token.Check()), "the first");
  EXPECT_EQ(CodeOf(token.Check()), ErrorCode::kAborted);
}

TEST(CancellationTest, TokenOutlivesItsSource) {
  CancellationToken token;
  {
    CancellationSource source;
    token = source.token();
    source.Cancel(Because("gone"));
  }
  EXPECT_EQ(MessageOf(token.Check()), "gone");
}

TEST(CancellationTest, OKAsReasonStillCancels) {
  CancellationSource source;
  source.Cancel(Status::OK());
  EXPECT_EQ(CodeOf(source.token().Check()), ErrorCode::kAborted);
}

TEST(CancellationTest, CancelReachesDescendantsAndNobodyElse) {
  CancellationSource root;
  CancellationSource child({root.token()});
  CancellationSource grandchild({child.token()});
  CancellationSource sibling({root.token()});
  EXPECT_TRUE(child.Cancel(Because("branch")));
  EXPECT_FALSE(root.cancelled());
  EXPECT_FALSE(sibling.cancelled());
  EXPECT_EQ(MessageOf(grandchild.token().Check()), "branch");
  EXPECT_TRUE(root.Cancel(Because("tree")));
  EXPECT_EQ(MessageOf(sibling.token().Check()), "tree");
  EXPECT_EQ(MessageOf(grandchild.token().Check()), "branch") << "the first reason stays";
}

TEST(CancellationTest, ChildOfCancelledParentIsBornCancelled) {
  CancellationSource parent;
  parent.Cancel(Because("before"));
  CancellationSource child({parent.token()});
  EXPECT_EQ(MessageOf(child.token().Check()), "before");
}

TEST(CancellationTest, EitherOfTwoParentsCancels) {
  for (int which : {0, 1}) {
    CancellationSource parents[2];
    CancellationSource child({parents[0].token(), CancellationToken(), parents[1].token()});
    EXPECT_FALSE(child.cancelled());
    parents[which].Cancel(Because("one of them"));
    EXPECT_TRUE(child.cancelled());
    EXPECT_FALSE(parents[1 - which].cancelled());
  }
}

TEST(CancellationTest, ReasonPassesThroughALongChain) {
  auto root = std::make_unique<CancellationSource>();
  std::vector<CancellationSource> chain;
  chain.emplace_back(std::initializer_list<CancellationToken>{root->token()});
  for (int i = 0; i < 2'000; ++i) {
    chain.emplace_back(std::initializer_list<CancellationToken>{chain.back().token()});
  }
  root->Cancel(Because("from the top"));
  EXPECT_EQ(MessageOf(chain.back().token().Check()), "from the top");
}

TEST(CancellationTest, ChildrenComeAndGoWhileTheParentIsCancelled) {
  for (int round = 0; round < 200; ++round) {
    CancellationSource parent;
    std::atomic<bool> go{false};
    std::atomic<int> missed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (!go.load()) {
        }
        for (int i = 0; i < 50; ++i) {
          const bool before = parent.cancelled();
          CancellationSource child({parent.token()});
          CancellationSource grandchild({child.token()});
          if (before && !grandchild.cancelled()) missed.fetch_add(1);
        }
      });
    }
    go.store(true);
    parent.Cancel(Because("meanwhile"));
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(missed.load(), 0);
  }
}

}  // namespace
}  // namespace marble::task
