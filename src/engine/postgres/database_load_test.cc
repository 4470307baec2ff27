#include "engine/postgres/database_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

TEST(DatabaseLoader, RefusesABackupOfRowsOnlyBeforeItAsksTheServer) {
  test::SmallRepository small;
  postgres::DumpManifest manifest;
  manifest.has_schema = false;
  const SnapshotId id = small.backup({{"manifest.json", to_json(manifest)}});
  small.repository().load_index(small.context());
  const DumpView dump(small.context(), small.repository(),
                      {id, small.repository().load_snapshot(small.context(), id)});
  DatabaseLoader loader(dump, {});
  const Error error = test::error_of([&] { (void)loader.examine(small.context()); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_THAT(error.message(), testing::HasSubstr("rows only, no schema"));
}

}  // namespace
}  // namespace salvor
