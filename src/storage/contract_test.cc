// The contract suite against every storage and decorator of this layer.
#include <fstream>

#include "storage/local_storage.h"
#include "storage/memory_storage.h"
#include "support/storage_contract.h"
#include "support/temp_directory.h"

namespace salvor::test {
namespace {

class MemoryPlace final : public StoragePlace {
 public:
  std::unique_ptr<Storage> open() override { return borrow_storage(*storage_); }
  bool add_foreign(const std::string&) override { return false; }

 private:
  std::unique_ptr<Storage> storage_ = make_memory_storage();
};

class LocalPlace final : public StoragePlace {
 public:
  std::unique_ptr<Storage> open() override {
    return open_local_storage((directory_ / "repository").string());
  }
  bool add_foreign(const std::string& path) override {
    const auto full = directory_.path() / "repository" / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << "foreign";
    return std::filesystem::exists(full);
  }

 private:
  TempDirectory directory_{TempPlace::kMemory};
};

INSTANTIATE_TEST_SUITE_P(
    All, StorageContract,
    testing::Values(StorageUnderTest{"memory", [] { return std::make_unique<MemoryPlace>(); }},
                    StorageUnderTest{"local", [] { return std::make_unique<LocalPlace>(); }}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace salvor::test
