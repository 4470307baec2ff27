#include "engine/snapshots/object_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "support/small_repository.h"
#include "support/storage_helpers.h"

namespace salvor {
namespace {

using test::error_of;
using test::SmallRepository;
using test::some_content;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ObjectSearchTest : public testing::Test {
 protected:
  ObjectSearchTest() { small_.repository().load_index(context_); }

  [[nodiscard]] BlobLocation locate(std::string_view content) {
    return *small_.repository().index().find({BlobType::kData, BlobId(sha256(as_bytes(content)))});
  }
  [[nodiscard]] std::vector<std::string> paths(ObjectSearch& search) {
    std::vector<std::string> found;
    BlobReader reader(small_.repository());
    search.run(
        context_, reader, small_.repository().load_snapshot(context_, snapshot_),
        [&](const ObjectUse& use) { found.push_back(use.path); },
        [](const std::string& path, const Error&) { ADD_FAILURE() << path; });
    return found;
  }

  SmallRepository small_;
  const Context context_ = small_.context();
  const std::string one_ = some_content(1, 500);
  const std::string two_ = some_content(2, 500);
  const SnapshotId snapshot_ = small_.backup({{"a/one", one_}, {"a/again", one_}, {"b/two", two_}});
};

TEST_F(ObjectSearchTest, BlobsByWholeIdOrItsBeginning) {
  const std::string id = BlobId(sha256(as_bytes(one_))).hex();
  for (const std::string& asked : {id, id.substr(0, 8)}) {
    ObjectSearch search(small_.repository());
    search.add_blobs(BlobType::kData, {asked});
    EXPECT_THAT(paths(search), ElementsAre("/a/again", "/a/one"));
  }
  for (const char* wrong : {"", "1234567", "0123456g"}) {
    ObjectSearch search(small_.repository());
    EXPECT_EQ(error_of([&] { search.add_blobs(BlobType::kData, {wrong}); }).code(),
              ErrorCode::kUsage)
        << wrong;
  }
}

TEST_F(ObjectSearchTest, EverythingInAPackAlsoOnceItIsGone) {
  const PackId pack = locate(two_).pack;
  {
    ObjectSearch search(small_.repository());
    EXPECT_THAT(search.add_packs(context_, {pack.hex()}), IsEmpty());
    EXPECT_THAT(paths(search), ElementsAre("/a/again", "/a/one", "/b/two"));
  }
  {
    ObjectSearch search(small_.repository());
    EXPECT_THAT(search.add_packs(context_, {pack.hex().substr(0, 8)}), IsEmpty());
    EXPECT_THAT(paths(search), ElementsAre("/a/again", "/a/one", "/b/two"));
  }
  // Its header cannot be read: what the index says of it must do.
  const uint64_t size = small_.storage().stat(context_, pack_object(pack))->size_bytes;
  small_.flip_byte(pack_object(pack), size - 20);
  for (const bool gone : {false, true}) {
    if (gone) {
      small_.storage().remove(context_, pack_object(pack));
    }
    ObjectSearch search(small_.repository());
    EXPECT_THAT(search.add_packs(context_, {pack.hex()}), ElementsAre(pack)) << gone;
    EXPECT_THAT(paths(search), ElementsAre("/a/again", "/a/one", "/b/two")) << gone;
  }
  ObjectSearch search(small_.repository());
  const std::string unknown(64, 'e');
  const Error error = error_of([&] { (void)search.add_packs(context_, {unknown}); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr(unknown.substr(0, 8)));
}

TEST_F(ObjectSearchTest, AStorageThatIsAwayIsNoDamage) {
  auto way = std::make_unique<FaultStorage>(borrow_storage(small_.storage()));
  FaultStorage& faults = *way;
  const auto far = Repository::open(context_, std::move(way), Secret(test::kTestPassword));
  far->load_index(context_);
  faults.add({.call = StorageCall::kGetRange, .kind = ObjectKind::kPack});
  ObjectSearch search(*far);
  const PackId pack = locate(two_).pack;
  EXPECT_EQ(error_of([&] { (void)search.add_packs(context_, {pack.hex()}); }).code(),
            ErrorCode::kUnreachable);
}

}  // namespace
}  // namespace salvor
