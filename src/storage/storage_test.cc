#include "storage/storage.h"

#include <gtest/gtest.h>

#include "storage/decorators/cache_storage.h"
#include "storage/decorators/counting_storage.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/retry_storage.h"
#include "storage/decorators/throttle_storage.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

// Has one object, which only the listing by prefix finds, and one temporary file.
class OnlyByPrefix final : public Storage {
 public:
  void create(const Context&) override {}
  void put(const Context&, const ObjectName&, std::span<const ByteView>) override {}
  void replace_config(const Context&, ByteView) override {}
  Buffer get(const Context&, const ObjectName&, uint64_t) override { return {}; }
  void get_range(const Context&, const ObjectName&, uint64_t, MutableBytes) override {}
  std::optional<ObjectInfo> stat(const Context&, const ObjectName&) override { return {}; }
  void list(const Context&, ObjectKind, const std::function<void(const ObjectInfo&)>&) override {
    ADD_FAILURE() << "the whole area was listed";
  }
  void list_prefix(const Context&, ObjectKind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override {
    on_object({std::string(prefix) + "1", 5});
  }
  void remove(const Context&, const ObjectName&) override {}
  std::vector<Leftover> leftovers(const Context&, std::chrono::seconds age) override {
    return {{"config-tmp-1", static_cast<uint64_t>(age.count())}};
  }
  void remove_leftovers(const Context&, std::span<const Leftover> leftovers) override {
    removed_ += leftovers.size();
  }
  std::optional<StorageSpace> space(const Context&) override {
    return StorageSpace{.free_bytes = 5, .total_bytes = 9};
  }
  [[nodiscard]] StorageTraits traits() const override { return {.remote = true}; }
  size_t removed_ = 0;
};

// Every kind of decorator over `base`.
std::vector<std::unique_ptr<Storage>> decorators_over(Storage& base, RequestCounts& counts,
                                                      const std::string& cache) {
  std::vector<std::unique_ptr<Storage>> storages;
  storages.push_back(borrow_storage(base));
  storages.push_back(std::make_unique<RetryStorage>(borrow_storage(base)));
  storages.push_back(std::make_unique<ThrottleStorage>(borrow_storage(base), BandwidthLimits{}));
  storages.push_back(std::make_unique<CountingStorage>(borrow_storage(base), counts));
  storages.push_back(std::make_unique<FaultStorage>(borrow_storage(base)));
  storages.push_back(with_cache(borrow_storage(base), {.directory = cache}));
  return storages;
}

// A repository with years of journals is listed whole where one of these forgets.
TEST(ListPrefix, EveryDecoratorPassesItOn) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  RequestCounts counts;
  OnlyByPrefix base;
  for (const auto& storage : decorators_over(base, counts, directory.path().string())) {
    std::vector<std::string> found;
    storage->list_prefix(*context, ObjectKind::kSalvor, "journal/",
                         [&](const ObjectInfo& object) { found.push_back(object.name); });
    EXPECT_EQ(found, std::vector<std::string>{"journal/1"});
  }
}

// Behind one that forgets, temporary files would pile up for ever, and nobody would know.
TEST(Leftovers, EveryDecoratorPassesThemOn) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  RequestCounts counts;
  OnlyByPrefix base;
  size_t removed = 0;
  for (const auto& storage : decorators_over(base, counts, directory.path().string())) {
    const auto found = storage->leftovers(*context, std::chrono::seconds(86'400));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].size_bytes, 86'400U);
    storage->remove_leftovers(*context, found);
    EXPECT_EQ(base.removed_, ++removed);
  }
  EXPECT_EQ(counts.of(RequestKind::kRemove), 1U);
}

TEST(Space, EveryDecoratorPassesItOn) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  RequestCounts counts;
  OnlyByPrefix base;
  for (const auto& storage : decorators_over(base, counts, directory.path().string())) {
    const auto space = storage->space(*context);
    ASSERT_TRUE(space.has_value());
    EXPECT_EQ(space->free_bytes, 5U);
    EXPECT_EQ(space->total_bytes, 9U);
  }
}

// So long as every storage and every file system takes it.
TEST(ObjectNames, PathsHaveAnEnd) {
  std::string path;
  while (path.size() < 898) {
    path += "a/";
  }
  EXPECT_TRUE(is_object_name(ObjectKind::kSalvor, path + "bc"));
  EXPECT_FALSE(is_object_name(ObjectKind::kSalvor, path + "bcd"));
  EXPECT_TRUE(is_object_name(ObjectKind::kSalvor, std::string(200, 'a')));
  EXPECT_FALSE(is_object_name(ObjectKind::kSalvor, std::string(201, 'a')));
}

}  // namespace
}  // namespace salvor::test
