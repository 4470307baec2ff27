#include "codec/archive_writer.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/random.h"

namespace salvor {
namespace {

Node make(NodeType type, uint32_t mode) {
  Node node;
  node.type = type;
  node.mode = mode;
  node.mtime = {1'700'000'001, 123'456'789, 3600};
  node.atime = {1'700'000'002, 5, 0};
  node.ctime = {1'700'000'003, 0, 0};
  node.uid = 1000;
  node.gid = 3'000'000'000;  // beyond what old tar headers hold
  node.user = "alice";
  node.group = "users";
  node.links = 1;
  node.inode = 7;
  return node;
}

ArchiveWriter::Content whole(std::string_view content, size_t piece = 1000) {
  return [content, piece]() mutable {
    const std::string_view next = content.substr(0, piece);
    content.remove_prefix(next.size());
    return as_bytes(next);
  };
}

ArchiveWriter::Content never() {
  return []() -> ByteView {
    ADD_FAILURE() << "content was asked for";
    return {};
  };
}

struct Read {
  mode_t mode = 0;
  std::string content;
  std::string link;
  std::string hard_link;
  std::map<std::string, std::string> attributes;
  int64_t seconds = 0;
  long nanoseconds = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  std::string user;
  uint64_t device = 0;
};

std::string text_of(const char* text) {
  return text != nullptr ? text : "";
}

// An independent look at the archive.
std::map<std::string, Read> read_all(const std::string& bytes) {
  setlocale(LC_CTYPE, "C.UTF-8");
  std::map<std::string, Read> found;
  archive* a = archive_read_new();
  archive_read_support_format_all(a);
  EXPECT_EQ(archive_read_open_memory(a, bytes.data(), bytes.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  for (;;) {
    const int result = archive_read_next_header(a, &entry);
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
      EXPECT_EQ(result, ARCHIVE_EOF) << archive_error_string(a);
      break;
    }
    Read& one = found[text_of(archive_entry_pathname(entry))];
    one.mode = archive_entry_mode(entry);
    one.link = text_of(archive_entry_symlink(entry));
    one.hard_link = text_of(archive_entry_hardlink(entry));
    one.seconds = archive_entry_mtime(entry);
    one.nanoseconds = archive_entry_mtime_nsec(entry);
    one.uid = archive_entry_uid(entry);
    one.gid = archive_entry_gid(entry);
    one.user = text_of(archive_entry_uname(entry));
    one.device = archive_entry_rdev(entry);
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      one.attributes[name] = std::string(static_cast<const char*>(value), size);
    }
    char buffer[4096];
    la_ssize_t count = 0;
    while ((count = archive_read_data(a, buffer, sizeof buffer)) > 0) {
      one.content.append(buffer, static_cast<size_t>(count));
    }
    EXPECT_EQ(count, 0) << archive_error_string(a);
  }
  EXPECT_EQ(archive_read_free(a), ARCHIVE_OK);
  setlocale(LC_CTYPE, "C");
  return found;
}

class Archive {
 public:
  explicit Archive(ArchiveFormat format)
      : writer_(format, [this](ByteView bytes) { bytes_ += as_text(bytes); }) {}
  ArchiveWriter& writer() { return writer_; }
  const std::string& bytes() const { return bytes_; }
  std::map<std::string, Read> finish() {
    writer_.finish();
    return read_all(bytes_);
  }

 private:
  std::string bytes_;
  ArchiveWriter writer_;
};

TEST(ArchiveWriter, TarKeepsEverythingThatRestoresNeed) {
  Archive archive(ArchiveFormat::kTar);
  ASSERT_TRUE(archive.writer().add(make(NodeType::kDir, go_mode::kDir | go_mode::kSetgid | 0750),
                                   "/top", never()));
  std::string content(100'000, 'x');
  Node file = make(NodeType::kFile, go_mode::kSetuid | 0640);
  file.size = content.size();
  file.extended_attributes = {{"user.a", std::string("b\0c\n", 4)}, {"user.empty", ""}};
  ASSERT_TRUE(archive.writer().add(file, "top/grüße e\u0301", whole(content)));
  Node link = make(NodeType::kSymlink, go_mode::kSymlink | 0777);
  link.link_target = "../ä" + std::string(300, 't');
  ASSERT_TRUE(archive.writer().add(link, "top/link", never()));
  Node device = make(NodeType::kCharDevice, go_mode::kDevice | go_mode::kCharDevice | 0600);
  device.device = 259;
  ASSERT_TRUE(archive.writer().add(device, "top/null", never()));
  ASSERT_TRUE(
      archive.writer().add(make(NodeType::kFifo, go_mode::kFifo | 0600), "top/fifo", never()));
  EXPECT_FALSE(archive.writer().add(make(NodeType::kSocket, go_mode::kSocket | 0600), "top/socket",
                                    never()));
  const std::string deep = "top/" + std::string(250, 'd') + "/" + std::string(250, 'e');
  ASSERT_TRUE(archive.writer().add(make(NodeType::kFile, 0644), deep, whole("")));
  const auto found = archive.finish();
  EXPECT_EQ(archive.bytes().size() % 10240, 0U);
  ASSERT_EQ(found.size(), 6U);
  EXPECT_EQ(found.at("top/").mode, mode_t{S_IFDIR | S_ISGID | 0750});
  EXPECT_NE(archive.bytes().find("top/grüße e\u0301"), std::string::npos);
  const Read& one =
      found.at("top/grüße \u00e9");  // libarchive composes while it reads, not while it writes
  EXPECT_EQ(one.mode, mode_t{S_IFREG | S_ISUID | 0640});
  EXPECT_EQ(one.content, content);
  EXPECT_EQ(one.attributes.at("user.a"), std::string("b\0c\n", 4));
  EXPECT_EQ(one.attributes.count("user.empty"), 1U);
  EXPECT_EQ(one.seconds, 1'700'000'001);
  EXPECT_EQ(one.nanoseconds, 123'456'789);
  EXPECT_EQ(one.uid, 1000);
  EXPECT_EQ(one.gid, 3'000'000'000);
  EXPECT_EQ(one.user, "alice");
  EXPECT_EQ(found.at("top/link").link, link.link_target);
  EXPECT_EQ(found.at("top/null").device, 259U);
  EXPECT_TRUE(S_ISFIFO(found.at("top/fifo").mode));
  EXPECT_TRUE(found.contains(deep));
}

TEST(ArchiveWriter, NamesOfAnyBytesSurviveInTar) {
  Archive archive(ArchiveFormat::kTar);
  Node link = make(NodeType::kSymlink, go_mode::kSymlink | 0777);
  link.link_target = "bad\xfe";
  ASSERT_TRUE(archive.writer().add(link, "caf\xe9 \xff", never()));
  ASSERT_TRUE(archive.writer().add(make(NodeType::kFile, 0644), "日本語", whole("")));
  archive.writer().finish();
  // Read by other programs: only the bytes count.
  EXPECT_NE(archive.bytes().find("caf\xe9 \xff"), std::string::npos);
  EXPECT_NE(archive.bytes().find("bad\xfe"), std::string::npos);
  EXPECT_NE(archive.bytes().find("日本語"), std::string::npos);
}

TEST(ArchiveWriter, SecondNamesBecomeHardLinks) {
  SeededRandom random(1);
  Digest digest;
  random.fill(digest);
  Node file = make(NodeType::kFile, 0644);
  file.size = 5;
  file.links = 2;
  file.content = {BlobId(digest)};
  Archive archive(ArchiveFormat::kTar);
  ASSERT_TRUE(archive.writer().add(file, "a", whole("hello")));
  ASSERT_TRUE(archive.writer().add(file, "b", never()));
  Node other = file;  // the same numbers on another day, another content
  random.fill(digest);
  other.content = {BlobId(digest)};
  ASSERT_TRUE(archive.writer().add(other, "c", whole("world")));
  const auto found = archive.finish();
  EXPECT_EQ(found.at("a").content, "hello");
  EXPECT_EQ(found.at("b").hard_link, "a");
  EXPECT_EQ(found.at("c").content, "world");
  Archive zip(ArchiveFormat::kZip);
  ASSERT_TRUE(zip.writer().add(file, "a", whole("hello")));
  ASSERT_TRUE(zip.writer().add(file, "b", whole("hello")));
  EXPECT_EQ(zip.finish().at("b").content, "hello");
}

TEST(ArchiveWriter, ZipHoldsFilesDirectoriesAndLinks) {
  Archive archive(ArchiveFormat::kZip);
  const std::string content(1'000'000, 'z');
  Node file = make(NodeType::kFile, 0600);
  file.size = content.size();
  ASSERT_TRUE(archive.writer().add(make(NodeType::kDir, go_mode::kDir | 0755), "d", never()));
  ASSERT_TRUE(archive.writer().add(file, "d/ü", whole(content, 65536)));
  Node link = make(NodeType::kSymlink, go_mode::kSymlink | 0777);
  link.link_target = "ü";
  ASSERT_TRUE(archive.writer().add(link, "d/l", never()));
  EXPECT_FALSE(archive.writer().add(make(NodeType::kFifo, go_mode::kFifo), "d/f", never()));
  EXPECT_FALSE(archive.writer().add(make(NodeType::kDevice, go_mode::kDevice), "d/b", never()));
  const auto found = archive.finish();
  EXPECT_LT(archive.bytes().size(), 10'000U);  // deflated
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found.at("d/ü").content, content);
  EXPECT_EQ(found.at("d/ü").mode & 0777U, 0600U);
  EXPECT_EQ(found.at("d/ü").seconds, 1'700'000'001);
  EXPECT_EQ(found.at("d/l").link, "ü");
}

TEST(ArchiveWriter, ContentOfTheWrongSizeIsDamage) {
  for (const ArchiveFormat format : {ArchiveFormat::kTar, ArchiveFormat::kZip}) {
    for (const std::string_view content : {"1234", "123456"}) {
      Archive archive(format);
      Node file = make(NodeType::kFile, 0644);
      file.size = 5;
      try {
        (void)archive.writer().add(file, "f", whole(content));
        ADD_FAILURE();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kDamaged);
      }
    }
  }
}

TEST(ArchiveWriter, AnUnfinishedArchiveHasNoEnd) {
  std::string bytes;
  {
    ArchiveWriter writer(ArchiveFormat::kTar, [&](ByteView piece) { bytes += as_text(piece); });
    Node file = make(NodeType::kFile, 0644);
    file.size = uint64_t{1} << 42;  // giving up must not pad it
    EXPECT_THROW((void)writer.add(file, "f",
                                  [count = 0]() mutable -> ByteView {
                                    static const std::string piece(100'000, 'x');
                                    if (++count == 2) {
                                      throw Error(ErrorCode::kDamaged, "blob is missing");
                                    }
                                    return as_bytes(piece);
                                  }),
                 Error);
  }
  EXPECT_LT(bytes.size(), 110'000U);
}

TEST(ArchiveWriter, WhatTheSinkThrowsComesOut) {
  struct Full {};
  for (const ArchiveFormat format : {ArchiveFormat::kTar, ArchiveFormat::kZip}) {
    int calls = 0;
    {
      ArchiveWriter writer(format, [&](ByteView) {
        ++calls;
        throw Full();
      });
      Buffer content(1'000'000);
      SeededRandom(1).fill(content.bytes());
      Node file = make(NodeType::kFile, 0644);
      file.size = content.size();
      EXPECT_THROW((void)writer.add(file, "f", whole(as_text(content.view()))), Full);
    }
    EXPECT_EQ(calls, 1);
  }
}

TEST(ArchiveWriter, ANodeNeedsAPath) {
  Archive archive(ArchiveFormat::kTar);
  EXPECT_THROW((void)archive.writer().add(make(NodeType::kDir, go_mode::kDir), "//", never()),
               Error);
}

}  // namespace
}  // namespace salvor
