#include "repo/repository.h"

#include <gtest/gtest.h>

#include "crypto/sha256.h"
#include "repo/write_session.h"
#include "storage/decorators/fault_storage.h"
#include "storage/memory_storage.h"
#include "support/test_context.h"

namespace salvor {
namespace {

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

}  // namespace
}  // namespace salvor
