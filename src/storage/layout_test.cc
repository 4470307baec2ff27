#include "storage/layout.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

TEST(Layout, PathsAreResticsAndReadBack) {
  const std::string hex = "1a" + std::string(62, 'b');
  EXPECT_EQ(object_path({ObjectKind::kPack, hex}), "data/1a/" + hex);
  EXPECT_EQ(object_path({ObjectKind::kConfig, ""}), "config");
  EXPECT_EQ(object_path({ObjectKind::kSalvor, "a/b"}), "salvor/a/b");
  for (const ObjectKind kind : {ObjectKind::kKey, ObjectKind::kLock, ObjectKind::kSnapshot,
                                ObjectKind::kIndex, ObjectKind::kPack}) {
    const std::string path = object_path({kind, hex});
    EXPECT_TRUE(path.starts_with(kind_prefix(kind)));
    EXPECT_EQ(name_of_path(kind, path), hex);
  }
  EXPECT_EQ(name_of_path(ObjectKind::kSalvor, "salvor/a/b"), "a/b");
}

TEST(Layout, ForeignPathsAreNoObjects) {
  const std::string hex = "1a" + std::string(62, 'b');
  for (const std::string& path :
       {"data/" + hex, "data/2b/" + hex, "data/1a/" + hex + "-tmp-1", "data/1a/x/" + hex,
        std::string("data/1a/"), "index/" + hex, std::string("data/1a/foo"), std::string()}) {
    EXPECT_EQ(name_of_path(ObjectKind::kPack, path), std::nullopt) << path;
  }
  EXPECT_EQ(name_of_path(ObjectKind::kKey, "keys/sub/" + hex), std::nullopt);
  EXPECT_EQ(name_of_path(ObjectKind::kSalvor, "salvor/.hidden"), std::nullopt);
}

TEST(Layout, OnlyWhatAPutMayHaveLeftIsALeftover) {
  const std::string hex = "1a" + std::string(62, 'b');
  for (const std::string& object :
       {"data/1a/" + hex, "keys/" + hex, "locks/" + hex, "snapshots/" + hex, "index/" + hex,
        std::string("config"), std::string("salvor/journal/a/b.zst")}) {
    EXPECT_TRUE(is_leftover_path(object + "-tmp-0")) << object;
    EXPECT_TRUE(is_leftover_path(object + "-tmp-18446744073709551615")) << object;
    for (const char* end : {"", "-tmp-", "-tmp-x", "-tmp-1x", "-tmp-1 ", "-tmp-1/a", "-tmp--1",
                            "-tmp-184467440737095516150", "-TMP-1", "-tmp-1-tmp-2", "-tmp1"}) {
      EXPECT_FALSE(is_leftover_path(object + end)) << object << end;
    }
    EXPECT_FALSE(is_leftover_path("/" + object + "-tmp-1"));
    EXPECT_FALSE(is_leftover_path("../" + object + "-tmp-1"));
    EXPECT_FALSE(is_leftover_path("x" + object + "-tmp-1"));
  }
  for (const std::string& path :
       {std::string("-tmp-1"), std::string("notes-tmp-1"), std::string("data/notes-tmp-1"),
        std::string("data/1a/notes-tmp-1"), std::string("locks/-tmp-1"),
        "data/2b/" + hex + "-tmp-1", "data/" + hex + "-tmp-1", "index/sub/" + hex + "-tmp-1",
        "elsewhere/" + hex + "-tmp-1", std::string("salvor/../config-tmp-1"),
        std::string("salvor/.hidden-tmp-1"), std::string("salvor/a-tmp-1/b-tmp-2"),
        std::string("config/x-tmp-1")}) {
    EXPECT_FALSE(is_leftover_path(path)) << path;
  }
}

TEST(Layout, PrefixesAreCleanedAsResticDoes) {
  EXPECT_EQ(clean_prefix("/a//b/./c/"), "a/b/c");
  EXPECT_EQ(clean_prefix(""), "");
  EXPECT_EQ(clean_prefix("..a/b.."), "..a/b..");
  EXPECT_EQ(clean_prefix("a/../b"), std::nullopt);
}

}  // namespace
}  // namespace salvor
