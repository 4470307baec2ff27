#include "storage/export/export_storage.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/tar_format.h"
#include "storage/export/volumes.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using testing::HasSubstr;

class ExportStorage : public testing::Test {
 protected:
  std::unique_ptr<Storage> reopen() {
    const std::string path = (directory_ / "archive.tar").string();
    std::ofstream(path, std::ios::binary) << written_;
    return open_tar_storage(std::make_shared<const VolumeReader>(path));
  }

  TestContext context_;
  TempDirectory directory_{TempPlace::kMemory};
  std::string written_;
  TarWriteStorage archive_{[this](ByteView bytes) { written_ += as_text(bytes); }, "archive.tar",
                           1};
  const ObjectName config_{ObjectKind::kConfig, ""};
  const ObjectName pack_ = named_by_hash(ObjectKind::kPack, as_bytes("content"));
  const ObjectName absent_ = named_by_hash(ObjectKind::kPack, as_bytes("other"));
};

TEST_F(ExportStorage, TakesEachObjectOnceAndGivesBackWhatIsSmall) {
  archive_.create(*context_);
  archive_.put(*context_, config_, as_bytes("config"));
  archive_.put(*context_, pack_, as_bytes("content"));
  const size_t before = written_.size();
  EXPECT_NO_THROW(archive_.put(*context_, config_, as_bytes("config")));
  EXPECT_NO_THROW(archive_.put(*context_, pack_, as_bytes("content")));
  EXPECT_EQ(written_.size(), before);
  EXPECT_EQ(code_of([&] { archive_.put(*context_, config_, as_bytes("Config")); }),
            ErrorCode::kFailed);
  EXPECT_EQ(code_of([&] { archive_.put(*context_, pack_, as_bytes("short")); }),
            ErrorCode::kFailed);

  Buffer out(3);
  archive_.get_range(*context_, config_, 3, out.bytes());
  EXPECT_EQ(as_text(out.view()), "fig");
  EXPECT_EQ(code_of([&] { archive_.get_range(*context_, config_, 4, out.bytes()); }),
            ErrorCode::kDamaged);
  EXPECT_EQ(code_of([&] { (void)archive_.get(*context_, config_, 5); }), ErrorCode::kDamaged);
  EXPECT_EQ(code_of([&] { (void)archive_.get(*context_, pack_, 100); }), ErrorCode::kNotFound);
  EXPECT_EQ(archive_.stat(*context_, pack_)->size_bytes, 7U);
  EXPECT_EQ(archive_.list_all(*context_, ObjectKind::kPack).size(), 1U);
  EXPECT_EQ(code_of([&] { archive_.remove(*context_, pack_); }), ErrorCode::kPermission);
  EXPECT_EQ(code_of([&] { archive_.replace_config(*context_, as_bytes("x")); }),
            ErrorCode::kPermission);
}

TEST_F(ExportStorage, IsReadWhereItLiesAndNeverWritten) {
  archive_.create(*context_);
  archive_.put(*context_, config_, as_bytes("config"));
  archive_.put(*context_, pack_, as_bytes("content"));
  archive_.finish();
  const auto read = reopen();
  EXPECT_EQ(as_text(read->get(*context_, pack_, 7).view()), "content");
  EXPECT_EQ(code_of([&] { (void)read->get(*context_, pack_, 6); }), ErrorCode::kDamaged);
  EXPECT_EQ(code_of([&] { (void)read->get(*context_, absent_, 100); }), ErrorCode::kNotFound);
  Buffer out(4);
  read->get_range(*context_, pack_, 3, out.bytes());
  EXPECT_EQ(as_text(out.view()), "tent");
  EXPECT_EQ(code_of([&] { read->get_range(*context_, pack_, 4, out.bytes()); }),
            ErrorCode::kDamaged);
  for (const std::function<void()>& change :
       std::vector<std::function<void()>>{[&] { read->create(*context_); },
                                          [&] { read->put(*context_, absent_, as_bytes("other")); },
                                          [&] { read->replace_config(*context_, as_bytes("x")); },
                                          [&] { read->remove(*context_, pack_); }}) {
    const Error error = error_of(change);
    EXPECT_EQ(error.code(), ErrorCode::kPermission);
    EXPECT_THAT(error.message(), HasSubstr("archive.tar"));
  }
}

TEST_F(ExportStorage, WithoutAConfigOrAnEndItIsNone) {
  archive_.create(*context_);
  archive_.put(*context_, pack_, as_bytes("content"));
  EXPECT_EQ(code_of([&] { (void)reopen(); }), ErrorCode::kDamaged) << "no end";
  archive_.finish();
  EXPECT_EQ(code_of([&] { (void)reopen(); }), ErrorCode::kNoRepository);
}

// Packed into an archive with other things by hand: the repository is where the config is.
TEST_F(ExportStorage, WhatLiesBesideTheRepositoryIsNotPartOfIt) {
  for (const char* name : {"notes.txt", "other/config.old"}) {
    written_ += as_text(encode_tar_header(name, 0, 1));
  }
  archive_.create(*context_);
  archive_.put(*context_, config_, as_bytes("config"));
  archive_.put(*context_, pack_, as_bytes("content"));
  written_ +=
      as_text(encode_tar_header("data/" + absent_.name.substr(0, 2) + "/" + absent_.name, 0, 1));
  archive_.finish();
  const auto read = reopen();
  EXPECT_EQ(as_text(read->get(*context_, pack_, 7).view()), "content");
  EXPECT_FALSE(read->stat(*context_, absent_).has_value());
}

}  // namespace
}  // namespace salvor::test
