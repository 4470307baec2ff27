// The contract suite against every storage and decorator of this layer.
#include <fstream>

#include "storage/decorators/cache_storage.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/recording_storage.h"
#include "storage/decorators/retry_storage.h"
#include "storage/local/local_storage.h"
#include "storage/memory_storage.h"
#include "storage/rest/rclone_storage.h"
#include "storage/rest/rest_storage.h"
#include "storage/sftp/sftp_storage.h"
#include "support/ssh_server.h"
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
  [[nodiscard]] bool has_leftovers() const override { return true; }

 private:
  TempDirectory directory_{TempPlace::kMemory};
};

// OpenSSH's server without ssh in between.
class SftpPlace final : public StoragePlace {
 public:
  std::unique_ptr<Storage> open() override {
    return open_sftp_storage({.arguments = {"/usr/lib/openssh/sftp-server"},
                              .more_arguments = {"/usr/lib/openssh/sftp-server"},
                              .place = "test",
                              .path = (directory_ / "repository").string(),
                              .connections = 3});
  }
  bool add_foreign(const std::string& path) override {
    const auto full = directory_.path() / "repository" / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << "foreign";
    return std::filesystem::exists(full);
  }
  [[nodiscard]] bool has_leftovers() const override { return true; }

 private:
  TempDirectory directory_{TempPlace::kMemory};
};

// The rest-server that SALVOR_TEST_REST_SERVER names (tests/interop/test_rest.py sets it).
class RestPlace final : public StoragePlace {
 public:
  RestPlace()
      : port_(free_port()),
        server_({.arguments = {std::getenv("SALVOR_TEST_REST_SERVER"), "--no-auth", "--path",
                               directory_.path().string(), "--listen",
                               "127.0.0.1:" + std::to_string(port_)},
                 .pipe_stdout = false}) {
    if (!listens(port_)) {
      throw std::runtime_error("rest-server does not start");
    }
  }
  std::unique_ptr<Storage> open() override {
    return open_rest_storage("http://127.0.0.1:" + std::to_string(port_) + "/repository/", {});
  }
  bool add_foreign(const std::string&) override { return false; }
  [[nodiscard]] bool is_rest_server() const override { return true; }

 private:
  TempDirectory directory_{TempPlace::kMemory};
  uint16_t port_;
  Subprocess server_;
};

// rclone's own server over a local directory.
class RclonePlace final : public StoragePlace {
 public:
  std::unique_ptr<Storage> open() override {
    return open_rclone_storage((directory_ / "repository").string(), {});
  }
  bool add_foreign(const std::string&) override { return false; }
  [[nodiscard]] bool is_rest_server() const override { return true; }
  [[nodiscard]] bool shows_parts() const override { return true; }

 private:
  TempDirectory directory_{TempPlace::kMemory};
};

// A decorator over one memory storage, each handle with a decorator of its own.
class DecoratedPlace final : public StoragePlace {
 public:
  using Decorate = std::function<std::unique_ptr<Storage>(std::unique_ptr<Storage>)>;
  explicit DecoratedPlace(Decorate decorate) : decorate_(std::move(decorate)) {}
  std::unique_ptr<Storage> open() override { return decorate_(borrow_storage(*base_)); }
  bool add_foreign(const std::string&) override { return false; }

 private:
  Decorate decorate_;
  std::unique_ptr<Storage> base_ = make_memory_storage();
};

std::unique_ptr<StoragePlace> faultless_place() {
  return std::make_unique<DecoratedPlace>([](std::unique_ptr<Storage> base) {
    return std::make_unique<FaultStorage>(std::move(base));
  });
}

// Half of all calls fail, after having done their work or before.
std::unique_ptr<StoragePlace> retried_place() {
  return std::make_unique<DecoratedPlace>([](std::unique_ptr<Storage> base) {
    auto faults = std::make_unique<FaultStorage>(std::move(base));
    for (uint64_t nth = 1; nth < 3000; nth += 2) {
      faults->add({.nth = nth,
                   .effect = nth % 4 == 1 ? FaultEffect::kLoseReply : FaultEffect::kFailBefore});
    }
    return std::make_unique<RetryStorage>(
        std::move(faults),
        RetryOptions{.wait = [](const Context& context, auto) { context.check_stopped(); }});
  });
}

std::unique_ptr<StoragePlace> recording_place() {
  return std::make_unique<DecoratedPlace>([](std::unique_ptr<Storage> base) {
    TestContext context;
    return std::make_unique<RecordingStorage>(*context, std::move(base));
  });
}

std::unique_ptr<StoragePlace> cached_place() {
  const auto directory = std::make_shared<TempDirectory>(TempPlace::kMemory);
  return std::make_unique<DecoratedPlace>([directory](std::unique_ptr<Storage> base) {
    return std::make_unique<CacheStorage>(
        std::move(base), CacheOptions{.directory = (*directory / "salvor/repository").string()});
  });
}

INSTANTIATE_TEST_SUITE_P(
    All, StorageContract,
    testing::Values(StorageUnderTest{"memory", [] { return std::make_unique<MemoryPlace>(); }},
                    StorageUnderTest{"local", [] { return std::make_unique<LocalPlace>(); }},
                    StorageUnderTest{"sftp", [] { return std::make_unique<SftpPlace>(); }},
                    StorageUnderTest{"rclone", [] { return std::make_unique<RclonePlace>(); }},
                    StorageUnderTest{"fault", faultless_place},
                    StorageUnderTest{"recording", recording_place},
                    StorageUnderTest{"retry", retried_place},
                    StorageUnderTest{"cache", cached_place}),
    [](const auto& tested) { return tested.param.name; });

std::vector<StorageUnderTest> servers() {
  if (std::getenv("SALVOR_TEST_REST_SERVER") == nullptr) {
    return {};
  }
  return {StorageUnderTest{"rest", [] { return std::make_unique<RestPlace>(); }}};
}
INSTANTIATE_TEST_SUITE_P(Servers, StorageContract, testing::ValuesIn(servers()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace salvor::test
