#include "connector/postgres/incremental_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace salvor::postgres {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

BackupManifest manifest() {
  BackupManifest made;
  for (const char* const path :
       {"base/5/16384", "base/5/16384.1", "base/5/16384_vm", "base/5/16390", "base/5/16390_vm",
        "pg_tblspc/16400/PG_18_202506291/5/16500", "pg_tblspc/16400/PG_18_202506291/5/16500.2",
        "global/1262", "PG_VERSION", "backup_label"}) {
    ManifestFile file;
    file.path = path;
    made.files.push_back(file);
  }
  return made;
}

// What such a server leaves out of its summaries would be taken over from the earlier backup, old.
TEST(IncrementalPlan, AsksOldMinorsForWholeFilesWhereTheirSummariesAreWrong) {
  EXPECT_THAT(sent_whole(manifest(), 180005), IsEmpty());
  EXPECT_THAT(sent_whole(manifest(), 170011), IsEmpty());
  EXPECT_THAT(sent_whole(manifest(), 180004),
              UnorderedElementsAre("base/5/16384_vm", "base/5/16390_vm"));
  EXPECT_THAT(sent_whole(manifest(), 170010),
              UnorderedElementsAre("base/5/16384_vm", "base/5/16390_vm"));
  for (const int version : {170007, 180001}) {
    EXPECT_THAT(sent_whole(manifest(), version),
                UnorderedElementsAre("base/5/16384", "base/5/16384.1", "base/5/16384_vm",
                                     "base/5/16390_vm", "pg_tblspc/16400/PG_18_202506291/5/16500",
                                     "pg_tblspc/16400/PG_18_202506291/5/16500.2"));
  }
}

}  // namespace
}  // namespace salvor::postgres
