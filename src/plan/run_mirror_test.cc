#include "plan/run_mirror.h"

#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "plan/run_journal.h"
#include "repo/journal.h"
#include "support/fake_site.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor::plan {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kRun(32, 'a');

class Mirror : public testing::Test {
 protected:
  // A machine that has the run, with `lines` in its journal.
  std::unique_ptr<RunMirror> machine(const std::vector<std::string>& lines = {}) {
    return std::make_unique<RunMirror>(
        context_, kRun, lines,
        [this](const Context&, const RunMirror::Use& use) {
          if (away_) {
            throw Error(ErrorCode::kUnreachable, "no such storage");
          }
          use(*repository_.reopen());
        },
        [this](const std::string& text) {
          const std::scoped_lock lock(mutex_);
          said_ += text + "\n";
        });
  }
  [[nodiscard]] std::string stored() {
    const auto runs = mirrored_runs(context_, repository_.repository(), kRun);
    return runs.empty() ? "" : runs.front().text;
  }

  test::SmallRepository repository_;
  const Context context_ = repository_.context();
  std::atomic<bool> away_ = false;
  std::mutex mutex_;
  std::string said_;
};

TEST_F(Mirror, HasEveryLineInOrder) {
  {
    const auto one = machine();
    for (const char* const line : {"a", "b", "c"}) {
      one->add(line);
    }
    EXPECT_TRUE(one->settle());
    EXPECT_EQ(stored(), "a\nb\nc\n");
    one->add("d");
  }
  EXPECT_EQ(stored(), "a\nb\nc\nd\n") << "what is left is sent at the end";
  // The same machine goes on, with what it has; nothing is stored twice.
  const auto again = machine({"a", "b", "c", "d"});
  again->add("e");
  EXPECT_TRUE(again->settle());
  EXPECT_EQ(stored(), "a\nb\nc\nd\ne\n");
  EXPECT_THAT(again->lost(), IsEmpty());
  EXPECT_THAT(mirrored_runs(context_, repository_.repository(), "b"), IsEmpty());
  EXPECT_EQ(said_, "");
}

TEST_F(Mirror, LetsOnlyOneOfTwoMachinesGoOn) {
  const auto first = machine({"a", "b"});
  EXPECT_TRUE(first->settle());
  const auto second = machine({"a", "b"});
  second->add("taken over");
  EXPECT_TRUE(second->settle());
  EXPECT_THAT(second->lost(), IsEmpty());
  first->add("mine");
  EXPECT_FALSE(first->settle());
  EXPECT_THAT(first->lost(), HasSubstr("another machine has taken the run over"));
  first->close();
  second->add("on");
  EXPECT_TRUE(second->settle());
  EXPECT_EQ(stored(), "a\nb\ntaken over\non\n");
  // Also when it comes back later.
  const auto later = machine({"a", "b", "mine"});
  EXPECT_FALSE(later->settle(seconds(5)));
  EXPECT_THAT(later->lost(), HasSubstr("another machine"));
}

TEST_F(Mirror, WaitsForNobodyWhoDoesNotAnswer) {
  away_ = true;
  const auto begun = std::chrono::steady_clock::now();
  {
    const auto one = machine();
    one->add("a");
    EXPECT_FALSE(one->settle());
    one->add("b");
    EXPECT_FALSE(one->settle());  // does not wait once more
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(8));
  EXPECT_THAT(said_, HasSubstr("cannot be copied into the repository now: no such storage"));
  EXPECT_THAT(said_, HasSubstr("the last 2 of 2 entries"));
  away_ = false;
  const auto back = machine({"a", "b"});
  EXPECT_TRUE(back->settle(seconds(5)));
  EXPECT_EQ(stored(), "a\nb\n");
}

TEST_F(Mirror, WritesAgainWhatIsMissing) {
  const std::vector<std::string> lines{"a", "b", "c"};
  for (size_t count = 1; count <= lines.size(); ++count) {
    EXPECT_TRUE(machine({lines.begin(), lines.begin() + count})->settle(seconds(5)));
  }
  repository_.storage().remove(context_, {ObjectKind::kSalvor, "plans/" + kRun + "-00000002"});
  EXPECT_EQ(stored(), "a\n");
  EXPECT_TRUE(machine({"a", "b", "c", "d"})->settle(seconds(5)));
  EXPECT_EQ(stored(), "a\nb\nc\nd\n");
}

}  // namespace
}  // namespace salvor::plan
