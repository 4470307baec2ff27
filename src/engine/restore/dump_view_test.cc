#include "engine/restore/dump_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::error_of;
using ::testing::HasSubstr;

class DumpViewTest : public testing::Test {
 protected:
  // Of a database "shop" or another, `seconds` after the first.
  SnapshotId save(const std::string& database, int64_t seconds, const std::string& host = "db1",
                  const std::string& label = "") {
    Snapshot snapshot =
        small_.repository().load_snapshot(context_, small_.backup({{"manifest.json", manifest_}}));
    snapshot.time = {1700000000 + seconds, 0, 0};
    snapshot.hostname = host;
    snapshot.paths = {"/postgresql/" + database};
    snapshot.tags = {"postgresql-dump", "pg:database=" + database};
    if (!label.empty()) {
      snapshot.tags.push_back("salvor:label=" + label);
    }
    small_.repository().load_index(context_);
    return small_.save(snapshot).id;
  }
  [[nodiscard]] SnapshotId find(const DumpQuery& query) {
    return find_dump(context_, small_.repository(), query).id;
  }
  [[nodiscard]] Error refusal(const DumpQuery& query) {
    return error_of([&] { (void)find(query); });
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  const std::string manifest_ = to_json(postgres::DumpManifest{});
};

TEST_F(DumpViewTest, TheNewestThatAgreesIsChosen) {
  const SnapshotId first = save("shop", 1, "db1", "before");
  const SnapshotId second = save("shop", 2);
  const SnapshotId elsewhere = save("shop", 3, "db2");
  EXPECT_EQ(find({}), elsewhere);
  EXPECT_EQ(find({.snapshot = "latest", .hosts = {"db1"}}), second);
  EXPECT_EQ(find({.label = "before"}), first);
  EXPECT_EQ(find({.before = WallTime(std::chrono::seconds(1700000002))}), first);
  EXPECT_EQ(find({.snapshot = second.hex().substr(0, 10)}), second);
}

TEST_F(DumpViewTest, OfSeveralDatabasesOneMustBeNamed) {
  const SnapshotId shop = save("shop", 1);
  const SnapshotId blog = save("blog", 2);
  EXPECT_EQ(refusal({}).code(), ErrorCode::kUsage);
  EXPECT_EQ(find({.database = "shop"}), shop);
  EXPECT_EQ(find({.database = "blog"}), blog);
}

TEST_F(DumpViewTest, WhatWasAskedForIsSaidWhereThereIsNone) {
  save("shop", 1);
  const Error error = refusal({.label = "before",
                               .database = "blog",
                               .before = WallTime(std::chrono::seconds(1700000000))});
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_EQ(error.message(),
            "there is no logical backup of database blog with the label before from before that "
            "time");
  EXPECT_EQ(refusal({.hosts = {"db9"}}).message(), "there is no logical backup");
}

TEST_F(DumpViewTest, AnotherSnapshotIsNoDump) {
  const SnapshotId id = small_.backup({{"file", "x"}});
  small_.repository().load_index(context_);
  const Error error = error_of([&] {
    const DumpView view(context_, small_.repository(),
                        find_dump(context_, small_.repository(), {.snapshot = id.hex()}));
  });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr("is no logical backup"));
}

TEST_F(DumpViewTest, FilesAreReadByTheirPath) {
  const SnapshotId id = save("shop", 1);
  const DumpView view(context_, small_.repository(),
                      find_dump(context_, small_.repository(), {.snapshot = id.hex()}));
  EXPECT_EQ(view.text(context_, "/manifest.json"), manifest_);
  EXPECT_EQ(view.text(context_, "/schema/pre-data.sql"), std::nullopt);
  std::string streamed;
  view.stream(context_, "/manifest.json", [&](ByteView bytes) { streamed += as_text(bytes); });
  EXPECT_EQ(streamed, manifest_);
  EXPECT_EQ(error_of([&] {
              view.stream(context_, "/data/public.t/000000.copy", [](ByteView) {});
            }).code(),
            ErrorCode::kDamaged);
}

}  // namespace
}  // namespace salvor
