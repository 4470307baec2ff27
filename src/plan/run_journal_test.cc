#include "plan/run_journal.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/fake_site.h"
#include "support/temp_directory.h"

namespace salvor::plan {
namespace {

using test::read_text;
using test::write_text;

class Journal : public testing::Test {
 protected:
  void SetUp() override {
    file_ = directory_.path() / "journal.jsonl";
    RunJournal journal(file_, clock_, {});
    for (const std::string step : {"one", "two", "three"}) {
      journal.append(
          {.type = "done",
           .step = step,
           .values = {{"summary", "line\nbreak \"quoted\""}},
           .outputs = {{"b", "1"}, {"a", "\xff"}},
           .facts = {},
           .checks = {
               {.name = "n", .passed = true, .value = "v", .expected = "v", .seconds = 0.5}}});
    }
  }
  test::TempDirectory directory_;
  std::filesystem::path file_;
  SystemClock clock_;
};

TEST_F(Journal, GivesBackWhatWasWritten) {
  const JournalContent content = read_journal(file_);
  ASSERT_EQ(content.entries.size(), 3U);
  EXPECT_FALSE(content.torn);
  const JournalEntry& entry = content.entries[1];
  EXPECT_EQ(entry.number, 2U);
  EXPECT_EQ(entry.step, "two");
  EXPECT_EQ(entry.value("summary"), "line\nbreak \"quoted\"");
  EXPECT_EQ(entry.outputs[0].first, "b") << "the order is kept";
  EXPECT_EQ(entry.outputs[1].second, "\xef\xbf\xbd") << "what is not UTF-8 is replaced";
  EXPECT_EQ(entry.checks.at(0).seconds, 0.5);
  EXPECT_LT(std::chrono::abs(clock_.now() - entry.time), std::chrono::minutes(1));
}

TEST_F(Journal, ToleratesAnyTornEndAndGoesOnAfterIt) {
  const std::string whole = read_text(file_);
  const size_t second = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t size = second; size < whole.size(); ++size) {
    write_text(file_, whole.substr(0, size));
    const JournalContent content = read_journal(file_);
    ASSERT_EQ(content.entries.size(), 2U) << size;
    EXPECT_EQ(content.torn, size > second) << size;
    EXPECT_EQ(content.good_bytes, second);
  }
  write_text(file_, whole.substr(0, whole.size() - 5));
  RunJournal(file_, clock_, read_journal(file_)).append({.type = "end"});
  const JournalContent content = read_journal(file_);
  ASSERT_EQ(content.entries.size(), 3U);
  EXPECT_EQ(content.entries[2].type, "end");
  EXPECT_FALSE(content.torn);
}

// What file systems leave at the end of a file when the power went: blocks that were never written,
// or that hold what somebody else had there.
TEST_F(Journal, CutsOffZerosAndOldBlocksAfterTheLastEntry) {
  const std::string whole = read_text(file_);
  const size_t second = whole.rfind('\n', whole.size() - 2) + 1;
  std::string old_block;
  for (int i = 0; i < 4096; ++i) {
    old_block += i % 61 == 0 ? '\n' : static_cast<char>(i * 7);
  }
  for (const std::string& tail :
       {std::string(1, '\0'), std::string(8192, '\0'), old_block, "\n\n\n" + old_block,
        std::string("\n", 1), std::string("{\"n\":4,\"time\"") + std::string(500, '\0')}) {
    write_text(file_, whole + tail);
    const JournalContent content = read_journal(file_);
    EXPECT_EQ(content.entries.size(), 3U);
    EXPECT_TRUE(content.torn);
    EXPECT_EQ(content.good_bytes, whole.size());
    RunJournal(file_, clock_, content).append({.type = "end"});
    EXPECT_EQ(read_journal(file_).entries.size(), 4U);
    EXPECT_FALSE(read_journal(file_).torn);
  }
  // The last line's own blocks, in any order.
  for (size_t size = second + 1; size < whole.size(); ++size) {
    write_text(file_, whole.substr(0, size) + std::string(whole.size() - size, '\0'));
    ASSERT_EQ(read_journal(file_).entries.size(), 2U) << size;
  }
  // Entries after the gap: that is no torn end.
  write_text(file_, whole.substr(0, whole.find('\n') + 1) + std::string(100, '\0') + "\n" +
                        whole.substr(second));
  EXPECT_THROW(static_cast<void>(read_journal(file_)), Error);
}

TEST_F(Journal, RefusesWhatWasChangedLeftOutOrMoved) {
  const std::string whole = read_text(file_);
  const size_t first = whole.find('\n') + 1;
  const size_t second = whole.find('\n', first) + 1;
  std::string changed = whole;
  changed.replace(changed.find("one"), 3, "two");
  for (const std::string& text :
       {changed, whole.substr(first) + whole.substr(0, first),
        whole.substr(0, first) + whole.substr(second) + whole.substr(first, second - first)}) {
    write_text(file_, text);
    try {
      static_cast<void>(read_journal(file_));
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged);
    }
  }
}

TEST_F(Journal, TimesComeBackToTheNanosecond) {
  const WallTime time = clock_.now();
  EXPECT_EQ(time_of(time_text(time)), time);
  EXPECT_EQ(time_text(WallTime(std::chrono::nanoseconds(-1))), "1969-12-31T23:59:59.999999999Z");
  EXPECT_THROW(static_cast<void>(time_of("yesterday")), Error);
}

}  // namespace
}  // namespace salvor::plan
