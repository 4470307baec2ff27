#include "repo/run_records.h"

#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

RunRecord record_at(Random& random, int64_t seconds) {
  RunRecord record;
  record.id = make_run_id(random);
  record.outcome = RunOutcome::kSucceeded;
  record.subject = "files";
  record.started = WallTime(std::chrono::seconds(seconds) + std::chrono::milliseconds(250));
  return record;
}

TEST(RunRecords, ComeBackFromAnotherProcessByAge) {
  test::SmallRepository small;
  SeededRandom random(5);
  const RunRecord later = record_at(random, 1'795'000'000);
  const RunRecord first = record_at(random, 1'700'000'000);
  RunRecords(small.repository()).store(small.context(), later);
  RunRecords(small.repository()).store(small.context(), first);
  const auto reopened = small.reopen();
  const RunRecords records(*reopened);
  const std::vector<std::string> positions = records.list(small.context());
  ASSERT_EQ(positions.size(), 2U);
  EXPECT_EQ(positions[0], "2023-11/20231114T221320Z-" + first.id);
  EXPECT_EQ(run_id_of(positions[1]), later.id);
  EXPECT_EQ(records.load(small.context(), positions[1]).started, later.started);
}

TEST(RunRecords, StoringTwiceIsOnce) {
  test::SmallRepository small;
  SeededRandom random(5);
  RunRecord record = record_at(random, 1'795'000'000);
  const RunRecords records(small.repository());
  records.store(small.context(), record);
  records.store(small.context(), record);
  EXPECT_EQ(records.list(small.context()).size(), 1U);
  record.outcome = RunOutcome::kFailed;
  EXPECT_THROW(records.store(small.context(), record), Error);
  EXPECT_EQ(records.load(small.context(), run_record_position(record)).outcome,
            RunOutcome::kSucceeded);
}

TEST(RunRecords, OneDamagedIsNotTakenForAnother) {
  test::SmallRepository small;
  SeededRandom random(5);
  const RunRecord one = record_at(random, 1'795'000'000);
  const RunRecord two = record_at(random, 1'795'000'001);
  const RunRecords records(small.repository());
  records.store(small.context(), one);
  records.store(small.context(), two);
  const ObjectName first{ObjectKind::kSalvor, "records/" + run_record_position(one)};
  const ObjectName second{ObjectKind::kSalvor, "records/" + run_record_position(two)};
  const Buffer foreign = small.storage().get(small.context(), second);
  small.damage(first, [&](Buffer& bytes) { bytes = Buffer::copy_of(foreign.view()); });
  EXPECT_THROW(static_cast<void>(records.load(small.context(), run_record_position(one))), Error);
  EXPECT_NO_THROW(static_cast<void>(records.load(small.context(), run_record_position(two))));
}

TEST(RunRecords, AnIdThatIsNoneIsRefused) {
  test::SmallRepository small;
  RunRecord record;
  for (const char* id : {"", "../../config", "0123456789abcdef0123456789abcdeg"}) {
    record.id = id;
    EXPECT_THROW(RunRecords(small.repository()).store(small.context(), record), Error) << id;
  }
}

TEST(RunRecords, OtherNamesAreNeitherRunsNorBundles) {
  test::SmallRepository small;
  SeededRandom random(5);
  const RunRecord record = record_at(random, 1'700'000'000);
  const RunRecords records(small.repository());
  records.store(small.context(), record);
  records.store_bundle(small.context(), {record});
  for (const char* name : {"records/bundles/2023", "records/2023-11/notes",
                           "records/bundles/20231114T221320Z+20231115T221320Z",
                           "records/others-/20231114T221320Z-20231115T221320Z"}) {
    small.storage().put(small.context(), {ObjectKind::kSalvor, name}, as_bytes("x"));
  }
  const RecordNames names = records.list_all(small.context());
  EXPECT_EQ(names.positions, std::vector<std::string>{run_record_position(record)});
  ASSERT_EQ(names.bundles.size(), 1U);
  EXPECT_EQ(names.bundles[0].from, "20231114T221320Z");
  EXPECT_EQ(names.bundles[0].to, "20231114T221320Z");
}

}  // namespace
}  // namespace salvor
