#include "cli/stores/logical_store.h"

#include <gtest/gtest.h>

namespace salvor::cli {
namespace {

// What would be written down with a password in it.
TEST(LogicalTarget, AConnectionIsNoDatabasesName) {
  for (const char* connection :
       {"postgresql://me:hunter2@db.example.com/shop", "postgres://db.example.com",
        "host=db.example.com password=hunter2", "dbname = shop password = hunter2",
        "password=hunter2", "service=shop"}) {
    EXPECT_TRUE(names_connection(connection)) << connection;
  }
  for (const char* name : {"shop", "shop_then", "my shop", "a=b", "kundendaten-2026", "ghost"}) {
    EXPECT_FALSE(names_connection(name)) << name;
  }
}

}  // namespace
}  // namespace salvor::cli
