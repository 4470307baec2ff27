#include "net/sftp_protocol.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

std::string u32(uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += static_cast<char>(value >> static_cast<unsigned>(shift));
  }
  return text;
}

std::string text(const std::string& value) {
  return u32(static_cast<uint32_t>(value.size())) + value;
}

SftpReply parse(const std::string& packet) {
  return parse_sftp_reply(as_bytes(packet));
}

TEST(SftpProtocol, RequestsAreWrittenAsTheDraftSays) {
  EXPECT_EQ(SftpRequest(SftpType::kOpen, 7).text("a/b").number(1).no_attributes().bytes(),
            u32(20) + "\x03" + u32(7) + text("a/b") + u32(1) + u32(0));
  EXPECT_EQ(SftpRequest(SftpType::kMkdir, 1).text("d").permissions(0700).bytes(),
            u32(18) + "\x0e" + u32(1) + text("d") + u32(4) + u32(0700));
  // The payload is counted and sent by the caller.
  EXPECT_EQ(SftpRequest(SftpType::kWrite, 2).text("h").number64(1ULL << 32U).payload(1000).bytes(),
            u32(22 + 1000) + "\x06" + u32(2) + text("h") + u32(1) + u32(0) + u32(1000));
  EXPECT_EQ(SftpRequest("fsync@openssh.com", 3).text("h").bytes(),
            u32(31) + "\xc8" + u32(3) + text("fsync@openssh.com") + text("h"));
}

TEST(SftpProtocol, RepliesAreRead) {
  const SftpReply status = parse("\x65" + u32(9) + u32(3) + text("Permission denied") + text("en"));
  EXPECT_EQ(status.type, SftpType::kStatus);
  EXPECT_EQ(status.id, 9U);
  EXPECT_EQ(status.status, SftpStatus::kPermissionDenied);
  EXPECT_EQ(status.message, "Permission denied");
  EXPECT_EQ(parse("\x65" + u32(9) + u32(4)).status, SftpStatus::kFailure);  // without words

  EXPECT_EQ(parse("\x66" + u32(1) + text("hdl")).handle, "hdl");

  const std::string reply = "\x67" + u32(2) + text("bytes");  // `data` is a part of it
  EXPECT_EQ(as_text(parse(reply).data), "bytes");

  const std::string attributes = u32(1 | 2 | 4 | 8) + u32(1) + u32(5) + u32(1000) + u32(1000) +
                                 u32(0100644) + u32(1) + u32(1'700'000'000);
  const SftpReply names = parse("\x68" + u32(3) + u32(2) + text("file") + text("-rw- file") +
                                attributes + text("dir") + text("") + u32(4) + u32(0040755));
  ASSERT_EQ(names.names.size(), 2U);
  EXPECT_EQ(names.names[0].name, "file");
  EXPECT_TRUE(names.names[0].attributes.is_regular());
  EXPECT_EQ(names.names[0].attributes.size_bytes, (uint64_t{1} << 32U) + 5);
  EXPECT_EQ(names.names[0].attributes.modified->time_since_epoch().count(), 1'700'000'000);
  EXPECT_TRUE(names.names[1].attributes.is_directory());
  EXPECT_FALSE(names.names[1].attributes.size_bytes.has_value());

  // Extended attributes are skipped.
  const SftpReply stat = parse("\x69" + u32(4) + u32(0x80000001U) + u32(0) + u32(77) + u32(1) +
                               text("type") + text("value"));
  EXPECT_EQ(stat.attributes.size_bytes, 77U);
}

TEST(SftpProtocol, NonsenseIsRefused) {
  const std::string bad[] = {
      "",
      "\x65",
      "\x65" + u32(1),
      "\x66" + u32(1) + u32(0xffffffffU) + "x",
      "\x66" + u32(1) + text(std::string(300, 'h')),
      "\x67" + u32(1) + u32(6) + "bytes",
      "\x68" + u32(1) + u32(0xffffffffU),
      "\x68" + u32(1) + u32(2) + text("one") + text("") + u32(0),
      "\x69" + u32(1) + u32(0x80000000U) + u32(0xffffffffU) + text("a") + text("b"),
      "\x02" + u32(3),
      "Welcome!"};
  for (const std::string& packet : bad) {
    EXPECT_THROW((void)parse(packet), Error) << packet;
  }
}

TEST(SftpProtocol, GreetingsNameExtensions) {
  const auto extensions = parse_sftp_version(as_bytes(
      "\x02" + u32(3) + text("posix-rename@openssh.com") + text("1") + text("x") + text("")));
  EXPECT_EQ(extensions.at("posix-rename@openssh.com"), "1");
  EXPECT_EQ(extensions.size(), 2U);
  EXPECT_THROW((void)parse_sftp_version(as_bytes("\x02" + u32(6))), Error);
  EXPECT_THROW((void)parse_sftp_version(as_bytes("\x65" + u32(3))), Error);
}

TEST(SftpProtocol, SpaceIsInBytes) {
  const auto u64 = [](uint64_t value) {
    return u32(static_cast<uint32_t>(value >> 32U)) + u32(static_cast<uint32_t>(value));
  };
  const std::string reply = u64(4096) + u64(1024) + u64(1000) + u64(500) + u64(400) + u64(50) +
                            u64(20) + u64(10) + u64(1) + u64(1) + u64(255);
  const SftpSpace space = parse_sftp_space(as_bytes(reply));
  EXPECT_EQ(space.total_bytes, 1000U * 1024);
  EXPECT_EQ(space.free_bytes, 400U * 1024);
  EXPECT_EQ(space.total_files, 50U);
  EXPECT_EQ(space.free_files, 10U);
  EXPECT_TRUE(space.read_only);
  const std::string huge = u64(4096) + u64(~0ULL) + u64(~0ULL) + reply.substr(24);
  EXPECT_EQ(parse_sftp_space(as_bytes(huge)).total_bytes, ~0ULL);
  EXPECT_THROW((void)parse_sftp_space(as_bytes(reply.substr(1))), Error);
}

}  // namespace
}  // namespace salvor
