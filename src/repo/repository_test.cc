#include "repo/repository.h"

#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/sha256.h"
#include "repo/write_session.h"
#include "storage/decorators/fault_storage.h"
#include "storage/memory_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using test::error_of;
using testing::HasSubstr;

// A byte that changed on the way (plain HTTP, a bad cable) must not end a run, nor count as damage.
TEST(Repository, WhatChangesOnTheWayIsReadAgain) {
  test::TestContext test;
  const Secret password("secret");
  const std::unique_ptr<Storage> memory = make_memory_storage();
  CreateOptions cheap;
  cheap.kdf = {16, 1, 1};
  std::unique_ptr<Repository> made =
      Repository::create(*test, borrow_storage(*memory), password, cheap);
  const std::string text(100'000, 'x');
  const BlobHandle blob{BlobType::kData, BlobId(sha256(as_bytes(text)))};
  {
    WriteSession session(*test, *made, {});
    const auto writer = session.make_writer();
    writer->add(blob.type, blob.id, as_bytes(text));
    writer->flush();
    (void)session.commit(*test, {});
  }

  auto faulty = std::make_unique<FaultStorage>(borrow_storage(*memory));
  FaultStorage& way = *faulty;
  way.add({.call = StorageCall::kGet, .kind = ObjectKind::kKey, .effect = FaultEffect::kFlipBit});
  way.add(
      {.call = StorageCall::kGet, .kind = ObjectKind::kConfig, .effect = FaultEffect::kFlipBit});
  const auto opened = Repository::open(*test, std::move(faulty), password);
  opened->load_index(*test);
  BlobReader reader(*opened);
  way.add({.call = StorageCall::kGetRange, .effect = FaultEffect::kFlipBit});
  EXPECT_EQ(as_text(reader.load(*test, blob).view()), text);

  // Damage stays damage.
  way.add(
      {.call = StorageCall::kGetRange, .count = Fault::kForever, .effect = FaultEffect::kFlipBit});
  EXPECT_THROW((void)reader.load(*test, blob), Error);
  auto worse = std::make_unique<FaultStorage>(borrow_storage(*memory));
  worse->add({.call = StorageCall::kGet,
              .kind = ObjectKind::kConfig,
              .count = Fault::kForever,
              .effect = FaultEffect::kFlipBit});
  EXPECT_THROW((void)Repository::open(*test, std::move(worse), password), Error);
}

class RepositoryTest : public testing::Test {
 protected:
  // The object as sealed by whoever has the key, and what is said of it.
  void store(const ObjectName& object, std::string_view plain) {
    Sealer sealer = small_.repository().make_sealer();
    const Buffer sealed = sealer.seal(as_bytes(plain));
    small_.damage(object, [&](Buffer& bytes) { bytes = Buffer::copy_of(sealed.view()); });
  }
  std::string store_new(ObjectKind kind, std::string_view plain) {
    const Buffer sealed = small_.repository().make_sealer().seal(as_bytes(plain));
    const std::string name = to_hex(sha256(sealed.view()));
    small_.storage().put(context_, {kind, name}, sealed.view());
    return name;
  }
  static std::string config(int version, std::string_view polynomial) {
    return fmt::format(R"({{"version":{},"id":"{}","chunker_polynomial":"{}"}})", version,
                       std::string(64, '5'), polynomial);
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
};

TEST_F(RepositoryTest, AConfigIsOnlyTakenWhenItCanBeWorkedWith) {
  const ObjectName object{ObjectKind::kConfig, ""};
  const auto refused = [&](std::string_view plain) {
    store(object, plain);
    return error_of([&] { (void)small_.reopen(); });
  };
  EXPECT_EQ(refused(config(3, "25b468838dcb75")).code(), ErrorCode::kFailed);
  EXPECT_THAT(refused(config(3, "25b468838dcb75")).message(), HasSubstr("version 3"));
  // Of another degree, and divisible by x: files would be cut where no other tool cuts them.
  for (const char* polynomial : {"1", "25b468838dcb74", "5b468838dcb75"}) {
    const Error error = refused(config(2, polynomial));
    EXPECT_EQ(error.code(), ErrorCode::kDamaged) << polynomial;
    EXPECT_THAT(error.message(), HasSubstr("polynomial"));
  }
  EXPECT_EQ(refused("{").code(), ErrorCode::kDamaged);
  store(object, config(2, "25b468838dcb75"));
  EXPECT_EQ(small_.reopen()->config().id, std::string(64, '5'));
}

TEST_F(RepositoryTest, WhatIsLeftOfARepositoryIsNotBuriedUnderANewOne) {
  const auto create = [&] {
    CreateOptions cheap;
    cheap.kdf = {16, 1, 1};
    (void)Repository::create(context_, borrow_storage(small_.storage()), Secret("x"), cheap);
  };
  EXPECT_THAT(error_of(create).message(), HasSubstr("there is already a repository"));
  small_.storage().remove(context_, {ObjectKind::kConfig, ""});
  EXPECT_THAT(error_of(create).message(), HasSubstr("no config"));
  EXPECT_EQ(error_of([&] { (void)small_.reopen(); }).code(), ErrorCode::kNoRepository);
  for (const ObjectInfo& key : small_.list(ObjectKind::kKey)) {
    small_.storage().remove(context_, {ObjectKind::kKey, key.name});
  }
  create();
}

TEST_F(RepositoryTest, DocumentsOfAnUnknownEncodingAreDamaged) {
  for (const std::string& plain : {std::string("\x07 something"), std::string("\x02 no frame")}) {
    const std::string name = store_new(ObjectKind::kSnapshot, plain);
    const auto load = [&] {
      (void)small_.repository().load_snapshot(context_, *SnapshotId::parse(name));
    };
    EXPECT_EQ(error_of(load).code(), ErrorCode::kDamaged);
    EXPECT_THAT(error_of(load).message(), HasSubstr(name.substr(0, 8)));
  }
}

TEST_F(RepositoryTest, OneUnreadableSnapshotHidesNoOther) {
  const SnapshotId good = small_.backup({{"a", "one"}});
  const std::string bad = store_new(ObjectKind::kSnapshot, R"({"time":"yesterday"})");
  EXPECT_THROW((void)small_.repository().load_snapshots(context_), Error);
  std::vector<UnreadableObject> unreadable;
  const std::vector<StoredSnapshot> read =
      small_.repository().load_snapshots(context_, &unreadable);
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read.front().id, good);
  ASSERT_EQ(unreadable.size(), 1U);
  EXPECT_EQ(unreadable.front().object.name, bad);
  EXPECT_THAT(unreadable.front().reason, HasSubstr(bad.substr(0, 8)));
}

}  // namespace
}  // namespace salvor
