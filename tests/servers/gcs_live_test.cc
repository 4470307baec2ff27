// The storage contract and what is special about Google Cloud Storage, against fake-gcs-server.
//
//   gcs_live_test PATH [gtest options]
#include <chrono>
#include <cstdio>
#include <thread>

#include <nlohmann/json.hpp>

#include "codec/go_json.h"
#include "storage/decorators/retry_storage.h"
#include "storage/gcs/gcs_storage.h"
#include "support/http_service.h"
#include "support/storage_contract.h"

namespace salvor::test {
namespace {

HttpService* server = nullptr;

StorageOptions options_for(std::map<std::string, std::string> extended = {}) {
  StorageOptions options;
  options.extended = std::move(extended);
  options.http.proxy = "";
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    return name == "STORAGE_EMULATOR_HOST" ? std::optional(server->url("")) : std::nullopt;
  };
  return options;
}

// Each place is a bucket of its own.
class GcsPlace final : public StoragePlace {
 public:
  explicit GcsPlace(const std::string& prefix)
      : location_("bucket-" + std::to_string(++count) + ":/" + prefix) {}
  std::unique_ptr<Storage> open() override { return open_gcs_storage(location_, options_for()); }
  bool add_foreign(const std::string&) override { return false; }

 private:
  static inline int count = 0;
  const std::string location_;
};

INSTANTIATE_TEST_SUITE_P(
    Gcs, StorageContract,
    testing::Values(StorageUnderTest{"plain", [] { return std::make_unique<GcsPlace>(""); }},
                    StorageUnderTest{
                        "prefix",
                        [] { return std::make_unique<GcsPlace>("some where/d\xC3\xA9p+t%2F&x"); }}),
    [](const auto& tested) { return tested.param.name; });

class GcsLive : public testing::Test {
 protected:
  static std::unique_ptr<Storage> open(const std::string& location,
                                       std::map<std::string, std::string> extended = {}) {
    return std::make_unique<RetryStorage>(
        open_gcs_storage(location, options_for(std::move(extended))));
  }
  // The server's own description of an object.
  nlohmann::json metadata(const std::string& bucket, const std::string& key) {
    HttpClient client({.proxy = ""});
    const HttpResponse response = client.request(
        *context_, {.url = server->url("/storage/v1/b/" + bucket + "/o/" + percent_encode(key))});
    return nlohmann::json::parse(as_text(response.body.view()), nullptr, false);
  }
  TestContext context_;
};

TEST_F(GcsLive, AMissingBucketIsNamed) {
  const auto storage = open("no-such-bucket:/x");
  const Error error = error_of([&] {
    storage->put(*context_, named_by_hash(ObjectKind::kPack, as_bytes("x")), as_bytes("x"));
  });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.message();
  EXPECT_NE(error.hint().find("no bucket no-such-bucket"), std::string::npos) << error.hint();
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kPack).empty());
}

TEST_F(GcsLive, ListingsOfManyPages) {
  GcsSettings settings = gcs_settings("pages:/deep", options_for());
  settings.list_page = 20;
  const auto storage = open_gcs_storage(settings, options_for());
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

// The emulator cannot be asked how far a session has come, so none is cut here (gcs_uploads_test
// does that).
TEST_F(GcsLive, WhatIsLargeIsSentInASession) {
  GcsSettings settings = gcs_settings("sessions:/deep", options_for());
  settings.session_bytes = size_t{1} << 20;
  settings.piece_bytes = size_t{1} << 20;
  const auto storage = open_gcs_storage(settings, options_for());
  storage->create(*context_);
  const Buffer content = pattern((size_t{5} << 20) + 12'345, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  storage->put(*context_, pack, content.view());
  EXPECT_EQ(to_hex(sha256(storage->get(*context_, pack).view())), pack.name);
  storage->put(*context_, pack, content.view());  // there already: the same
  EXPECT_EQ(storage->list_all(*context_, ObjectKind::kPack).size(), 1U);
}

TEST_F(GcsLive, PacksGetTheirClassAndAllButLocksTheirRetention) {
  const auto storage = open("kept:/r", {{"gs.storage-class", "NEARLINE"},
                                        {"gs.object-lock", "unlocked"},
                                        {"gs.object-lock-days", "30"}});
  storage->create(*context_);
  for (const ObjectKind kind : {ObjectKind::kPack, ObjectKind::kIndex, ObjectKind::kLock}) {
    storage->put(*context_, named_by_hash(kind, as_bytes("x")), as_bytes("x"));
  }
  const std::string name = named_by_hash(ObjectKind::kPack, as_bytes("x")).name;
  const auto pack = metadata("kept", "r/data/" + name.substr(0, 2) + "/" + name);
  EXPECT_EQ(pack.value("storageClass", ""), "NEARLINE");
  ASSERT_TRUE(pack.contains("retention")) << pack;
  EXPECT_EQ(pack["retention"].value("mode", ""), "Unlocked");
  const auto until = parse_go_time(pack["retention"].value("retainUntilTime", ""));
  ASSERT_TRUE(until.has_value()) << pack;
  const auto kept = until->wall() - (*context_).clock.now();
  EXPECT_GT(kept, std::chrono::days(30) - std::chrono::minutes(1));
  EXPECT_LE(kept, std::chrono::days(30));
  const auto index = metadata("kept", "r/index/" + name);
  EXPECT_NE(index.value("storageClass", ""), "NEARLINE");
  EXPECT_TRUE(index.contains("retention"));
  EXPECT_FALSE(metadata("kept", "r/locks/" + name).contains("retention"));
}

TEST_F(GcsLive, RetentionIsExtendedAndNeverShortened) {
  const auto storage =
      open("extended:/r", {{"gs.object-lock", "unlocked"}, {"gs.object-lock-days", "30"}});
  storage->create(*context_);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("x"));
  storage->put(*context_, pack, as_bytes("x"));
  const WallTime now = (*context_).clock.now();
  const auto days_left = [&] {
    const auto found = storage->retention(*context_, pack);
    return found && found->until ? std::chrono::round<std::chrono::days>(*found->until - now)
                                 : std::chrono::days(-1);
  };
  EXPECT_EQ(days_left(), std::chrono::days(30));
  EXPECT_FALSE(storage->retention(*context_, pack)->compliance);
  storage->extend_retention(*context_, pack, now + std::chrono::days(60));
  EXPECT_EQ(days_left(), std::chrono::days(60));
  storage->extend_retention(*context_, pack, now + std::chrono::days(40));
  EXPECT_EQ(days_left(), std::chrono::days(60));
  EXPECT_EQ(as_text(storage->get(*context_, pack).view()), "x");
  const ObjectName lock = named_by_hash(ObjectKind::kLock, as_bytes("x"));
  storage->put(*context_, lock, as_bytes("x"));
  EXPECT_FALSE(storage->retention(*context_, lock).has_value());

  const auto plain = open("not-kept:/r");
  plain->create(*context_);
  plain->put(*context_, pack, as_bytes("x"));
  EXPECT_FALSE(plain->retention(*context_, pack).has_value());
  EXPECT_EQ(code_of([&] { plain->extend_retention(*context_, pack, now); }), ErrorCode::kUsage);
}

TEST_F(GcsLive, TheVersionedPastIsReadAndCannotBeChanged) {
  const std::string bucket = R"({"name":"versioned","versioning":{"enabled":true}})";
  const ByteView body = as_bytes(bucket);
  const HttpResponse made =
      HttpClient({.proxy = ""})
          .request(*context_, {.method = "POST",
                               .url = server->url("/storage/v1/b?project=p"),
                               .headers = {{"Content-Type", "application/json"}},
                               .body = {&body, 1}});
  ASSERT_TRUE(made.success()) << as_text(made.body.view());
  const auto storage = open("versioned:/r");
  const auto pack = [](const char* content) {
    return named_by_hash(ObjectKind::kPack, as_bytes(std::string_view(content)));
  };
  storage->put(*context_, {ObjectKind::kConfig, ""}, as_bytes("first"));
  storage->put(*context_, pack("removed"), as_bytes("removed"));
  storage->put(*context_, pack("kept"), as_bytes("kept"));
  // The server's clock is this machine's.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const WallTime then = (*context_).clock.now();
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  storage->replace_config(*context_, as_bytes("second"));
  storage->remove(*context_, pack("removed"));
  storage->put(*context_, pack("added"), as_bytes("added"));

  GcsSettings settings = gcs_settings("versioned:/r", options_for());
  settings.as_of = then;
  const auto past = open_gcs_storage(settings, options_for());
  EXPECT_TRUE(past->traits().read_only);
  EXPECT_EQ(as_text(past->get(*context_, {ObjectKind::kConfig, ""}).view()), "first");
  EXPECT_EQ(as_text(past->get(*context_, pack("removed")).view()), "removed");
  EXPECT_EQ(past->stat(*context_, pack("kept"))->size_bytes, 4U);
  EXPECT_FALSE(past->stat(*context_, pack("added")).has_value());
  EXPECT_EQ(code_of([&] { (void)past->get(*context_, pack("added")); }), ErrorCode::kNotFound);
  EXPECT_EQ(past->list_all(*context_, ObjectKind::kPack).size(), 2U);
  EXPECT_EQ(code_of([&] { past->remove(*context_, pack("kept")); }), ErrorCode::kPermission);
  EXPECT_EQ(code_of([&] { past->put(*context_, pack("x"), as_bytes("x")); }),
            ErrorCode::kPermission);
  EXPECT_EQ(as_text(storage->get(*context_, {ObjectKind::kConfig, ""}).view()), "second");

  open("flat:/r")->create(*context_);
  GcsSettings flat = gcs_settings("flat:/r", options_for());
  flat.as_of = then;
  const Error error = error_of(
      [&] { (void)open_gcs_storage(flat, options_for())->list_all(*context_, ObjectKind::kPack); });
  EXPECT_NE(error.message().find("keeps no versions"), std::string::npos) << error.message();
}

}  // namespace
}  // namespace salvor::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: gcs_live_test PATH\n");
    return 2;
  }
  const uint16_t port = salvor::test::free_port();
  salvor::test::HttpService running(
      {.arguments = {argv[1], "-scheme", "http", "-host", "127.0.0.1", "-port",
                     std::to_string(port), "-backend", "memory", "-log-level", "error",
                     "-public-host", "127.0.0.1:" + std::to_string(port)}},
      port);
  salvor::test::server = &running;
  return RUN_ALL_TESTS();
}
