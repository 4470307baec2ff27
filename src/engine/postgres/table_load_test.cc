#include "engine/postgres/table_load.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

using postgres::DumpManifest;
using postgres::DumpTable;

DumpTable table(const std::string& name, const std::string& partition_of = "") {
  DumpTable entry;
  entry.schema = "public";
  entry.name = name;
  entry.partition_of = partition_of;
  return entry;
}

// m with m1; other, which was no partition.
class Partitions : public testing::Test {
 protected:
  Partitions() {
    manifest_.tables = {table("m"), table("m1", "public.m"), table("other")};
    manifest_.tables[0].partitioned = true;
  }
  [[nodiscard]] std::vector<std::string> made_since(const std::vector<LivePartition>& live,
                                                    std::set<std::string> also = {}) const {
    also.insert({"public.m", "public.m1"});
    std::vector<std::string> names;
    for (const LivePartition& one :
         partitions_made_since(manifest_, also, manifest_.tables[0], live)) {
      names.push_back(one.quoted());
    }
    return names;
  }

  DumpManifest manifest_;
};

TEST_F(Partitions, ThatTheBackupDoesNotKnowWereMadeSince) {
  EXPECT_EQ(made_since({{"public", "m1"}, {"public", "m\"2"}, {"s", "m1"}}),
            (std::vector<std::string>{"\"public\".\"m\"\"2\"", "\"s\".\"m1\""}));
  EXPECT_TRUE(made_since({}).empty()) << "dropped or detached since: nothing is emptied";
}

TEST_F(Partitions, AreLeftAloneByABackupOfChosenTables) {
  manifest_.complete = false;
  EXPECT_TRUE(made_since({{"public", "m1"}, {"public", "m2"}, {"public", "other"}}).empty())
      << "m2 may have been left out: its rows would be lost";
}

TEST_F(Partitions, ThatWereTablesOfTheirOwnAreNotEmptied) {
  EXPECT_THROW(static_cast<void>(made_since({{"public", "m1"}, {"public", "other"}})), Error);
  EXPECT_TRUE(made_since({{"public", "other"}}, {"public.other"}).empty())
      << "it is restored itself";
}

TEST(TableImpacts, RowsOfANewPartitionAreLostToo) {
  TableImpact impact;
  impact.made_since = {{"public", "m2", 7}};
  EXPECT_FALSE(impact.destroys()) << "there is no table";
  impact.exists = true;
  EXPECT_TRUE(impact.destroys());
  impact.made_since[0].rows = 0;
  EXPECT_FALSE(impact.destroys());
  impact.rows_now = 1;
  EXPECT_TRUE(impact.destroys());
}

}  // namespace
}  // namespace salvor
