// The storage contract and what is special about Azure Blob Storage, against Azurite, which checks
// signatures.
//
//   azure_live_test PATH [gtest options]
#include <cstdio>

#include <openssl/hmac.h>

#include "storage/azure/azure_sign.h"
#include "storage/azure/azure_storage.h"
#include "storage/decorators/retry_storage.h"
#include "support/http_service.h"
#include "support/storage_contract.h"
#include "support/temp_directory.h"

namespace salvor::test {
namespace {

HttpService* server = nullptr;

// Azurite's own, published by Microsoft for everybody's tests.
constexpr const char* kAccount = "devstoreaccount1";
constexpr const char* kKey =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

using Variables = std::map<std::string, std::string>;

StorageOptions options_for(Variables variables, Variables extended = {}) {
  StorageOptions options;
  extended.try_emplace("azure.endpoint", server->url(std::string("/") + kAccount));
  variables.try_emplace("AZURE_ACCOUNT_NAME", kAccount);
  options.extended = std::move(extended);
  options.http.proxy = "";
  options.environment = [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return options;
}

StorageOptions with_key(Variables extended = {}) {
  return options_for({{"AZURE_ACCOUNT_KEY", kKey}}, std::move(extended));
}

// A signature for the whole account with those rights, as the portal makes it.
std::string account_sas(const std::string& rights, const std::string& until) {
  const std::string text = std::string(kAccount) + "\n" + rights + "\nb\nco\n\n" + until +
                           "\n\nhttps,http\n2020-08-04\n";
  Buffer key;
  EXPECT_TRUE(from_base64(kKey, key));
  std::array<std::byte, 32> signature{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(signature.data()), &size);
  return "?sv=2020-08-04&ss=b&srt=co&sp=" + rights + "&se=" + percent_encode(until) +
         "&spr=https,http&sig=" + percent_encode(to_base64(signature));
}

// Each place is a container of its own.
class AzurePlace final : public StoragePlace {
 public:
  AzurePlace(const std::string& prefix, StorageOptions options)
      : location_("container-" + std::to_string(++count) + ":/" + prefix),
        options_(std::move(options)) {}
  std::unique_ptr<Storage> open() override { return open_azure_storage(location_, options_); }
  bool add_foreign(const std::string&) override { return false; }

 private:
  static inline int count = 0;
  const std::string location_;
  const StorageOptions options_;
};

INSTANTIATE_TEST_SUITE_P(
    Azure, StorageContract,
    testing::Values(
        StorageUnderTest{"key", [] { return std::make_unique<AzurePlace>("", with_key()); }},
        StorageUnderTest{"sas",
                         [] {
                           return std::make_unique<AzurePlace>(
                               "some where/d\xC3\xA9p+t&x",
                               options_for({{"AZURE_ACCOUNT_SAS",
                                             account_sas("rwdlac", "2199-01-01T00:00:00Z")}}));
                         }}),
    [](const auto& tested) { return tested.param.name; });

class AzureLive : public testing::Test {
 protected:
  static std::unique_ptr<Storage> open(const std::string& location, const StorageOptions& options) {
    return std::make_unique<RetryStorage>(open_azure_storage(location, options));
  }
  ObjectName put_one(Storage& storage) {
    const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("x"));
    storage.put(*context_, pack, as_bytes("x"));
    return pack;
  }

  TestContext context_;
};

TEST_F(AzureLive, ErrorsNameCauseAndNextStep) {
  const auto nowhere = open("no-such-container:/x", with_key());
  Error error = error_of([&] { put_one(*nowhere); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.message();
  EXPECT_NE(error.hint().find("no container no-such-container"), std::string::npos);

  const std::string wrong = to_base64(as_bytes("not the key"));
  const auto refused = open("somewhere:/x", options_for({{"AZURE_ACCOUNT_KEY", wrong}}));
  error = error_of([&] { put_one(*refused); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_NE(error.hint().find("AZURE_ACCOUNT_KEY"), std::string::npos) << error.hint();
  EXPECT_EQ((error.message() + error.hint()).find(wrong), std::string::npos);
  EXPECT_EQ(code_of([&] { refused->create(*context_); }), ErrorCode::kPermission);

  // Not a machine with an identity.
  const auto nobody =
      open("somewhere:/x",
           options_for({{"AZURE_POD_IDENTITY_AUTHORITY_HOST", server->url("/nothing")}}));
  error = error_of([&] { put_one(*nobody); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission);
  EXPECT_NE(error.hint().find("AZURE_ACCOUNT_SAS"), std::string::npos) << error.hint();
}

TEST_F(AzureLive, SharedAccessSignaturesThatDoNotDoAreExplained) {
  open("signed:/x", with_key())->create(*context_);
  const std::string far = "2199-01-01T00:00:00Z";
  const auto reader =
      open("signed:/x", options_for({{"AZURE_ACCOUNT_SAS", account_sas("rl", far)}}));
  Error error = error_of([&] { put_one(*reader); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_NE(error.hint().find("c (create)"), std::string::npos) << error.hint();

  // Enough for backups: what is there can neither be replaced nor removed.
  const auto writer =
      open("signed:/x", options_for({{"AZURE_ACCOUNT_SAS", account_sas("rlc", far)}}));
  const ObjectName pack = put_one(*writer);
  error = error_of([&] { writer->remove(*context_, pack); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_NE(error.hint().find("d (delete)"), std::string::npos) << error.hint();
  EXPECT_EQ(writer->list_all(*context_, ObjectKind::kPack).size(), 1U);

  const std::string old = account_sas("rwdlac", "2020-01-01T00:00:00Z");
  const auto late = open("signed:/x", options_for({{"AZURE_ACCOUNT_SAS", old}}));
  error = error_of([&] { put_one(*late); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_EQ((error.message() + error.hint()).find(old.substr(old.find("sig="))), std::string::npos);
  EXPECT_EQ(context_.events.events().size(), 1U) << "that it has expired is said at once";
}

// Azurite does not know policies and says nothing.
TEST_F(AzureLive, APolicyThatTheServerIgnoresIsNotBelieved) {
  const auto storage = open(
      "kept:/x", with_key({{"azure.object-lock", "unlocked"}, {"azure.object-lock-days", "30"}}));
  storage->create(*context_);
  const Error error = error_of([&] { put_one(*storage); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_NE(error.message().find("without the policy"), std::string::npos) << error.message();
}

TEST_F(AzureLive, LargeObjectsGoInBlocksAndGoOnWhereTheyStopped) {
  const auto storage = open("large:/x", with_key({{"azure.block-size", "1"}}));
  storage->create(*context_);
  const Buffer content = pattern((5U << 20U) + 12'345, 3);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  // Parts that do not end where the blocks do.
  std::vector<ByteView> parts;
  for (size_t at = 0; at < content.size(); at += 700'001) {
    parts.push_back(content.view(at, std::min<size_t>(700'001, content.size() - at)));
  }
  storage->put(*context_, pack, parts);
  EXPECT_TRUE(std::ranges::equal(storage->get(*context_, pack).view(), content.view()));
  EXPECT_NO_THROW(storage->put(*context_, pack, parts));
  // Another object of the same name does not replace it, block by block neither.
  const Buffer other = pattern(content.size() + 1, 4);
  EXPECT_EQ(code_of([&] { storage->put(*context_, pack, other.view()); }), ErrorCode::kFailed);
  EXPECT_TRUE(std::ranges::equal(storage->get(*context_, pack).view(), content.view()));
}

TEST_F(AzureLive, AClockThatIsWrongIsCorrectedByTheServers) {
  class Wrong final : public Clock {
   public:
    [[nodiscard]] WallTime now() const override {
      return SystemClock().now() - std::chrono::hours(5);
    }
    [[nodiscard]] MonotonicTime monotonic() const override { return SystemClock().monotonic(); }
  } clock;
  const Context wrong{context_.stop.get_token(), context_.events, clock, (*context_).random};
  const auto storage = open("clock:/x", with_key());
  storage->create(wrong);
  storage->put(wrong, named_by_hash(ObjectKind::kPack, as_bytes("x")), as_bytes("x"));
  EXPECT_EQ(storage->list_all(wrong, ObjectKind::kPack).size(), 1U);
}

TEST_F(AzureLive, ListingsOfManyPages) {
  AzureSettings settings = azure_settings("pages:/deep", with_key());
  settings.list_page = 20;
  const auto storage = open_azure_storage(settings, with_key());
  storage->create(*context_);
  std::set<std::string> wanted;
  std::vector<ObjectName> all;
  for (int i = 0; i < 130; ++i) {
    all.push_back(named_by_hash(ObjectKind::kLock, as_bytes(std::to_string(i))));
    storage->put(*context_, all.back(), as_bytes(std::to_string(i)));
    wanted.insert(all.back().name);
  }
  std::set<std::string> found;
  for (const ObjectInfo& info : storage->list_all(*context_, ObjectKind::kLock)) {
    EXPECT_TRUE(found.insert(info.name).second);
  }
  EXPECT_EQ(found, wanted);
  storage->remove_many(*context_, all);
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kLock).empty());
}

}  // namespace
}  // namespace salvor::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: azure_live_test PATH\n");
    return 2;
  }
  const uint16_t port = salvor::test::free_port();
  const salvor::test::TempDirectory folder(salvor::test::TempPlace::kMemory);
  salvor::test::HttpService running(
      {.arguments = {argv[1], "--blobHost", "127.0.0.1", "--blobPort", std::to_string(port),
                     "--location", folder.path().string(), "--silent", "--skipApiVersionCheck",
                     "--disableTelemetry"}},
      port);
  salvor::test::server = &running;
  return RUN_ALL_TESTS();
}
