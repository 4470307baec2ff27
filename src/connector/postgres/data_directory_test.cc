#include "connector/postgres/data_directory.h"

#include <gtest/gtest.h>

namespace salvor::postgres {
namespace {

TEST(DataDirectory, TheServersOwnFilesStayOut) {
  for (const char* name :
       {"postmaster.pid", "postmaster.opts", "backup_label", "tablespace_map", "backup_manifest",
        "pgsql_tmp", "pgsql_tmp123.0", "pg_internal.init", "pg_internal.init.77", ".DS_Store"}) {
    EXPECT_TRUE(is_left_out(name)) << name;
  }
  for (const char* name : {"PG_VERSION", "postgresql.conf", "pg_hba.conf", "backup_label.old",
                           "pg_filenode.map", "1259", "postgresql.auto.conf"}) {
    EXPECT_FALSE(is_left_out(name)) << name;
  }
}

TEST(DataDirectory, DirectoriesOfOneRunOfTheServerAreEmptied) {
  EXPECT_TRUE(is_emptied("pg_replslot"));
  EXPECT_TRUE(is_emptied("pg_subtrans"));
  EXPECT_FALSE(is_emptied("pg_xact"));
  EXPECT_FALSE(is_emptied("base/pg_notify")) << "only at the top";
}

TEST(DataDirectory, DatabasesAreKnownByTheirPlace) {
  EXPECT_TRUE(is_database_directory("base/5"));
  EXPECT_TRUE(is_database_directory("pg_tblspc/16400/PG_15_202209061/5"));
  for (const char* path : {"base", "global", "pg_xact/5", "base/x5", "pg_tblspc/16400/5",
                           "base/5/5", "pg_tblspc/16400"}) {
    EXPECT_FALSE(is_database_directory(path)) << path;
  }
}

TEST(DataDirectory, OfUnloggedRelationsOnlyTheInitForkIsKept) {
  const DatabaseFilter filter(
      {"16397", "16397_init", "16397_fsm", "16397.1", "163970", "PG_VERSION"});
  for (const char* name : {"16397", "16397_fsm", "16397_vm", "16397.1", "16397_fsm.2"}) {
    EXPECT_TRUE(filter.leaves_out(name)) << name;
  }
  for (const char* name :
       {"16397_init", "16397_init.1", "163970", "1639", "PG_VERSION", "pg_filenode.map"}) {
    EXPECT_FALSE(filter.leaves_out(name)) << name;
  }
}

TEST(DataDirectory, TemporaryRelationsStayOut) {
  const DatabaseFilter filter(std::vector<std::string>{});
  for (const char* name : {"t3_16397", "t12_16397_fsm", "t3_16397.1"}) {
    EXPECT_TRUE(filter.leaves_out(name)) << name;
  }
  for (const char* name : {"t_16397", "t3_", "t3", "tx_16397", "3_16397"}) {
    EXPECT_FALSE(filter.leaves_out(name)) << name;
  }
}

}  // namespace
}  // namespace salvor::postgres
