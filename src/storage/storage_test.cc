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

// Has one object, which only the listing by prefix finds.
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
  [[nodiscard]] StorageTraits traits() const override { return {.remote = true}; }
};

// A repository with years of journals is listed whole where one of these forgets.
TEST(ListPrefix, EveryDecoratorPassesItOn) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  RequestCounts counts;
  OnlyByPrefix base;
  const auto under = [&] { return std::make_unique<OnlyByPrefix>(); };
  std::vector<std::unique_ptr<Storage>> storages;
  storages.push_back(borrow_storage(base));
  storages.push_back(std::make_unique<RetryStorage>(under()));
  storages.push_back(std::make_unique<ThrottleStorage>(under(), BandwidthLimits{}));
  storages.push_back(std::make_unique<CountingStorage>(under(), counts));
  storages.push_back(std::make_unique<FaultStorage>(under()));
  storages.push_back(with_cache(under(), {.directory = directory.path().string()}));
  for (const auto& storage : storages) {
    std::vector<std::string> found;
    storage->list_prefix(*context, ObjectKind::kSalvor, "journal/",
                         [&](const ObjectInfo& object) { found.push_back(object.name); });
    EXPECT_EQ(found, std::vector<std::string>{"journal/1"});
  }
}

}  // namespace
}  // namespace salvor::test
