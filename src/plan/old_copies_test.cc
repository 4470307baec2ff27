#include "plan/old_copies.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "plan/run_journal.h"
#include "plan/run_mirror.h"
#include "plan/run_state.h"
#include "storage/storage.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor::plan {
namespace {

using std::chrono::days;
using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;

// Always the same instant.
class StoppedClock final : public Clock {
 public:
  explicit StoppedClock(WallTime now) : now_(now) {}
  [[nodiscard]] WallTime now() const override { return now_; }
  [[nodiscard]] MonotonicTime monotonic() const override { return {}; }

 private:
  WallTime now_;
};

class OldCopies : public testing::Test {
 protected:
  // A run whose last entry was written at `at`; its copy has `pieces` objects or fewer.
  void copy(char digit, WallTime at, std::vector<JournalEntry> entries) {
    const std::string run(32, digit);
    const std::filesystem::path file = directory_.path() / run;
    {
      const StoppedClock clock(at);
      RunJournal journal(file, clock, {});
      journal.append(run_entry({.id = run, .plan = "p", .mode = "production"}));
      for (JournalEntry& entry : entries) {
        journal.append(std::move(entry));
      }
    }
    size_t number = 1;
    for (const std::string& line : journal_lines(file)) {
      const std::string position = run + "-0000000" + std::to_string(number++);
      static_cast<void>(
          mirror_area(repository_.repository()).put(context_, position, as_bytes(line + "\n")));
    }
    recorded_.insert(run);
  }
  RemovedCopies remove() {
    return remove_old_copies(context_, repository_.repository(),
                             [&](const std::string& run) { return recorded_.contains(run); });
  }
  // The first digits of those that are still there, also in part.
  std::vector<char> left() {
    std::vector<char> found;
    for (const auto& [run, pieces] :
         mirror_pieces(context_, mirror_area(repository_.repository()), {})) {
      found.push_back(run.front());
    }
    return found;
  }
  static JournalEntry end(const std::string& outcome) {
    return {.type = "end", .values = {{"outcome", outcome}}};
  }

  test::SmallRepository repository_;
  const Context context_ = repository_.context();
  const WallTime now_ = context_.clock.now();
  const WallTime old_ = now_ - kCopyKept - hours(1);
  test::TempDirectory directory_;
  std::set<std::string> recorded_;
};

TEST_F(OldCopies, GoWhenTheRunIsOverLongAgo) {
  const JournalEntry restored{
      .type = "done", .step = "r", .outputs = {{"old-data", "/data.before"}}};
  copy('a', old_, {end("succeeded")});
  copy('b', old_, {end("undone")});
  copy('c', old_, {restored, end("succeeded"), {.type = "finish-begin"}, {.type = "finish-done"}});
  const RemovedCopies removed = remove();
  EXPECT_EQ(removed.runs, 3U);
  EXPECT_EQ(removed.objects, 2U + 2U + 5U);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(OldCopies, StayWhileSomebodyMayNeedThem) {
  const JournalEntry restored{
      .type = "done", .step = "r", .outputs = {{"old-data", "/data.before"}}};
  copy('0', old_, {restored});            // died
  copy('1', old_, {end("interrupted")});  // to be resumed
  copy('2', old_, {end("failed")});
  copy('3', old_, {end("undo failed")});
  copy('4', old_, {end("incomplete")});
  copy('5', old_, {restored, end("succeeded")});          // the old data is there: undo
  copy('6', old_, {end("succeeded"), {.type = "undo"}});  // being undone
  copy('7', now_ - kCopyKept + hours(1), {end("succeeded")});
  copy('8', old_, {end("succeeded")});
  recorded_.erase(std::string(32, '8'));  // its end is recorded nowhere else
  EXPECT_EQ(remove().runs, 0U);
  EXPECT_THAT(left(), ElementsAre('0', '1', '2', '3', '4', '5', '6', '7', '8'));
}

TEST_F(OldCopies, ThatCannotBeReadStay) {
  copy('a', old_, {end("succeeded")});
  repository_.flip_byte({ObjectKind::kSalvor, "plans/" + std::string(32, 'a') + "-00000002"}, 40);
  EXPECT_EQ(remove().runs, 0U);
  EXPECT_THAT(left(), ElementsAre('a'));
}

// Of a removal that was cut off the beginning is gone: nobody may take the rest for a run.
TEST_F(OldCopies, LeaveNoHalfRemovedRun) {
  copy('a', old_, {end("failed"), end("succeeded")});
  repository_.storage().remove(
      context_, {ObjectKind::kSalvor, "plans/" + std::string(32, 'a') + "-00000001"});
  EXPECT_THAT(mirrored_runs(context_, repository_.repository(), ""), IsEmpty());
  EXPECT_EQ(remove().runs, 1U);
  EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace salvor::plan
