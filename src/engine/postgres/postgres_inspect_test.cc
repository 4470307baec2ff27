#include "engine/postgres/postgres_inspect.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

TEST(ServerContent, TheFirstDifferenceIsNamed) {
  const ServerContent expected{.rows = {{"shop: public.orders", 1000}, {"shop: public.users", 3}},
                               .schema = {{"shop", "a1"}}};
  EXPECT_EQ(expected.difference(expected), "");
  ServerContent found = expected;
  found.rows["shop: public.orders"] = 0;
  EXPECT_EQ(found.difference(expected), "shop: public.orders has 0 rows instead of 1000");
  found = expected;
  found.rows.erase("shop: public.users");
  EXPECT_EQ(found.difference(expected), "shop: public.users is gone");
  EXPECT_EQ(expected.difference(found), "shop: public.users should not be there");
  found = expected;
  found.schema["shop"] = "b2";
  EXPECT_EQ(found.difference(expected), "the tables of shop have other columns");
}

}  // namespace
}  // namespace salvor
