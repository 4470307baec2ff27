#include "engine/backup/earlier_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class EarlierSnapshotTest : public testing::Test {
 protected:
  EarlierSnapshotTest() {
    tree_ = small_.repository()
                .load_snapshot(context_, small_.backup({{"a/one", "1"}, {"b/two", "22"}}))
                .tree;
    small_.repository().load_index(context_);
  }
  [[nodiscard]] BlobLocation locate(BlobType type, const BlobId& id) {
    return small_.repository().index().find({type, id}).value();
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  BlobId tree_;
};

TEST_F(EarlierSnapshotTest, GivesItsFilesAndTheirContent) {
  const EarlierSnapshot earlier(context_, small_.repository(), tree_);
  const Node* const two = earlier.find("b/two");
  ASSERT_NE(two, nullptr);
  const std::vector<PartReader::Part> parts = earlier.parts(*two);
  ASSERT_THAT(parts, SizeIs(1));
  EXPECT_EQ(as_text(earlier.read(context_, two->content[0]).view()), "22");
  EXPECT_EQ(earlier.find("b"), nullptr) << "no file";
  EXPECT_EQ(earlier.find("c"), nullptr);
}

TEST_F(EarlierSnapshotTest, WhatIsDamagedIsNotThereAndTheRestIs) {
  const Tree root = BlobReader(small_.repository()).load_tree(context_, tree_);
  const BlobLocation place = locate(BlobType::kTree, *root.find("a")->subtree);
  small_.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const EarlierSnapshot earlier(context_, small_.repository(), tree_);
  EXPECT_EQ(earlier.find("a/one"), nullptr);
  EXPECT_NE(earlier.find("b/two"), nullptr);
  std::vector<std::string> warnings;
  for (const Event& event : small_.test_context().events.events()) {
    if (const auto* warning = std::get_if<Warning>(&event)) {
      warnings.push_back(warning->message);
    }
  }
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("cannot be used for /a: ")));
}

}  // namespace
}  // namespace salvor
