// The storage contract and what is special about S3, against real servers that check signatures.
//
//   s3_live_test versitygw|minio PATH [gtest options]
#include <cstdio>

#include "storage/decorators/retry_storage.h"
#include "storage/location.h"
#include "storage/s3/s3_storage.h"
#include "support/s3_server.h"
#include "support/storage_contract.h"

namespace salvor::test {
namespace {

S3Server* server = nullptr;

// Each place is a bucket of its own.
class S3Place final : public StoragePlace {
 public:
  explicit S3Place(std::string prefix, StorageOptions options)
      : path_("bucket-" + std::to_string(++count) + "/" + prefix), options_(std::move(options)) {}
  std::unique_ptr<Storage> open() override { return open_s3_storage(server->url(path_), options_); }
  bool add_foreign(const std::string&) override { return false; }

 private:
  static inline int count = 0;
  const std::string path_;
  const StorageOptions options_;
};

StorageUnderTest under_test(const std::string& name, const std::string& prefix,
                            std::map<std::string, std::string> extended) {
  return {name, [prefix, extended] {
            StorageOptions options = S3Server::options();
            options.extended = extended;
            return std::make_unique<S3Place>(prefix, options);
          }};
}

INSTANTIATE_TEST_SUITE_P(S3, StorageContract,
                         testing::Values(under_test("plain", "", {}),
                                         under_test("prefix", "some where/d\xC3\xA9p+t",
                                                    {{"s3.list-objects-v1", "true"},
                                                     {"s3.checksum", "sha256"}})),
                         [](const auto& tested) { return tested.param.name; });

class S3Live : public testing::Test {
 protected:
  static std::unique_ptr<Storage> open(const std::string& path, StorageOptions options) {
    return std::make_unique<RetryStorage>(open_s3_storage(server->url(path), options));
  }
  static StorageOptions with(std::map<std::string, std::string> variables) {
    StorageOptions options = S3Server::options();
    options.environment = [base = options.environment, variables](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? base(name) : std::optional(found->second);
    };
    return options;
  }

  TestContext context_;
};

TEST_F(S3Live, ErrorsNameCauseAndNextStep) {
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("x"));
  const auto put = [&](Storage& storage) { storage.put(*context_, pack, as_bytes("x")); };
  const auto no_bucket = open("no-such-bucket", S3Server::options());
  Error error = error_of([&] { put(*no_bucket); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound) << error.message();
  EXPECT_NE(error.message().find("NoSuchBucket"), std::string::npos) << error.message();
  EXPECT_NE(error.hint().find("no-such-bucket"), std::string::npos) << error.hint();

  const auto bad_secret = open("bucket", with({{"AWS_SECRET_ACCESS_KEY", "wrongwrong"}}));
  error = error_of([&] { put(*bad_secret); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_NE(error.hint().find("AWS_SECRET_ACCESS_KEY"), std::string::npos) << error.hint();
  EXPECT_EQ((error.message() + error.hint()).find("wrongwrong"), std::string::npos);

  const auto bad_key = open("bucket", with({{"AWS_ACCESS_KEY_ID", "nobody"}}));
  error = error_of([&] { put(*bad_key); });
  EXPECT_EQ(error.code(), ErrorCode::kPermission) << error.message();
  EXPECT_NE(error.hint().find("AWS_ACCESS_KEY_ID"), std::string::npos) << error.hint();
}

TEST_F(S3Live, TheServerVerifiesWhatArrives) {
  const auto storage = open("verified", S3Server::options());
  storage->create(*context_);
  // A pack whose content is not what its name says: the signed hash does not match.
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("what was meant"));
  EXPECT_EQ(code_of([&] { storage->put(*context_, pack, as_bytes("what was sent!")); }),
            ErrorCode::kFailed);
  EXPECT_FALSE(storage->stat(*context_, pack).has_value());
}

TEST_F(S3Live, AClockThatIsWrongIsCorrectedByTheServers) {
  class Wrong final : public Clock {
   public:
    [[nodiscard]] WallTime now() const override {
      return SystemClock().now() - std::chrono::hours(5);
    }
    [[nodiscard]] MonotonicTime monotonic() const override { return SystemClock().monotonic(); }
  } clock;
  const Context wrong{context_.stop.get_token(), context_.events, clock, (*context_).random};
  const auto storage = open("clock", S3Server::options());
  storage->create(wrong);
  storage->put(wrong, named_by_hash(ObjectKind::kPack, as_bytes("x")), as_bytes("x"));
  EXPECT_EQ(storage->list_all(wrong, ObjectKind::kPack).size(), 1U);
  EXPECT_EQ(context_.events.events().size(), 1U);  // and said so, once
}

TEST_F(S3Live, WithoutConditionalPutsNothingElseIsWrittenOverAConfig) {
  StorageOptions options = S3Server::options();
  options.extended = {{"s3.conditional-put", "false"}, {"s3.checksum", "md5"}};
  const auto storage = open("unconditional", options);
  storage->create(*context_);
  const ObjectName config{ObjectKind::kConfig, ""};
  storage->put(*context_, config, as_bytes("first"));
  EXPECT_NO_THROW(storage->put(*context_, config, as_bytes("first")));
  EXPECT_EQ(code_of([&] { storage->put(*context_, config, as_bytes("other")); }),
            ErrorCode::kFailed);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  storage->put(*context_, pack, as_bytes("content"));
  EXPECT_NO_THROW(storage->put(*context_, pack, as_bytes("content")));
  EXPECT_EQ(code_of([&] { storage->put(*context_, pack, as_bytes("something else")); }),
            ErrorCode::kFailed);
  EXPECT_EQ(as_text(storage->get(*context_, pack).view()), "content");
}

TEST_F(S3Live, ListingsOfManyPages) {
  const auto storage = open("pages/deep", S3Server::options());
  storage->create(*context_);
  std::atomic<int> next = 0;
  std::set<std::string> wanted;
  for (int i = 0; i < 2100; ++i) {
    wanted.insert(named_by_hash(ObjectKind::kLock, as_bytes(std::to_string(i))).name);
  }
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&] {
        for (int i = next++; i < 2100; i = next++) {
          const std::string text = std::to_string(i);
          storage->put(*context_, named_by_hash(ObjectKind::kLock, as_bytes(text)), as_bytes(text));
        }
      });
    }
  }
  std::set<std::string> found;
  std::vector<ObjectName> all;
  for (const ObjectInfo& info : storage->list_all(*context_, ObjectKind::kLock)) {
    EXPECT_TRUE(found.insert(info.name).second);
    all.push_back({ObjectKind::kLock, info.name});
  }
  EXPECT_EQ(found, wanted);
  storage->remove_many(*context_, all);  // more than one request takes
  EXPECT_TRUE(storage->list_all(*context_, ObjectKind::kLock).empty());
}

TEST_F(S3Live, LockedObjectsAreLockedAndLocksAreNot) {
  StorageOptions options = S3Server::options();
  options.extended = {{"s3.object-lock", "governance"}, {"s3.object-lock-days", "1"}};
  const auto storage = open("locked-bucket", options);
  storage->create(*context_);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("pack"));
  storage->put(*context_, pack, as_bytes("pack"));
  storage->put(*context_, pack, as_bytes("pack"));
  EXPECT_EQ(storage->get(*context_, pack).size(), 4U);
  const ObjectName lock = named_by_hash(ObjectKind::kLock, as_bytes("lock"));
  storage->put(*context_, lock, as_bytes("lock"));
  storage->remove(*context_, lock);
  EXPECT_FALSE(storage->stat(*context_, lock).has_value());
}

}  // namespace
}  // namespace salvor::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: s3_live_test versitygw|minio PATH\n");
    return 2;
  }
  salvor::test::S3Server running(argv[1], argv[2]);
  salvor::test::server = &running;
  return RUN_ALL_TESTS();
}
