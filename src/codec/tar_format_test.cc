#include "codec/tar_format.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

class Archive {
 public:
  void add(std::string_view name, std::string_view content, char type = '\0') {
    TarBlock header = encode_tar_header(name, content.size(), 1'700'000'000);
    if (type != '\0') {
      header[156] = static_cast<std::byte>(type);
      seal(header);
    }
    append(header, content);
  }
  void append(const TarBlock& header, std::string_view content) {
    bytes_ += as_text(header);
    bytes_ += content;
    bytes_.append(tar_padding(content.size()), '\0');
  }
  void end() { bytes_.append(2 * kTarBlock, '\0'); }
  // The checksum anew, over a header that was changed.
  static void seal(TarBlock& header) {
    unsigned sum = 0;
    for (size_t at = 0; at < kTarBlock; ++at) {
      sum += at >= 148 && at < 156 ? unsigned{' '} : static_cast<unsigned>(header[at]);
    }
    for (size_t at = 154; at-- > 148; sum >>= 3U) {
      header[at] = static_cast<std::byte>('0' + (sum & 7U));
    }
  }
  [[nodiscard]] TarContents read(size_t size) const {
    return read_tar_contents(
        [this](uint64_t offset, MutableBytes out) {
          EXPECT_LE(offset + out.size(), bytes_.size()) << "reads beyond the end";
          bytes_.copy(reinterpret_cast<char*>(out.data()), out.size(), offset);
        },
        size);
  }
  [[nodiscard]] TarContents read() const { return read(bytes_.size()); }
  [[nodiscard]] bool refused() const {
    try {
      (void)read();
      return false;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged);
      return true;
    }
  }
  std::string bytes_;
};

TEST(Tar, FilesAreFoundWhereTheyAre) {
  Archive archive;
  archive.add("top/", "");
  archive.add("top/config", "abc");
  archive.add("./top/data/00/long", std::string(1000, 'x'));
  archive.add("empty", "");
  archive.end();
  const TarContents contents = archive.read();
  ASSERT_EQ(contents.members.size(), 3U);
  EXPECT_TRUE(contents.complete);
  EXPECT_EQ(contents.members[0].name, "top/config");
  EXPECT_EQ(archive.bytes_.substr(contents.members[0].offset, 3), "abc");
  EXPECT_EQ(contents.members[1].name, "top/data/00/long");
  EXPECT_EQ(contents.members[1].size_bytes, 1000U);
  EXPECT_EQ(contents.members[2].size_bytes, 0U);
}

// What is cut off anywhere is either seen as incomplete, or all files were before the cut.
TEST(Tar, AnArchiveThatIsCutIsNotComplete) {
  Archive archive;
  archive.add("config", std::string(700, 'c'));
  archive.add("data", std::string(100, 'd'));
  archive.end();
  for (size_t size = 0; size < archive.bytes_.size() - kTarBlock; ++size) {
    EXPECT_FALSE(archive.read(size).complete) << size;
  }
}

TEST(Tar, HostileNamesAndTypesAreRefused) {
  for (const char* name : {"/etc/passwd", "../x", "a/../../x", "a/..", "..", ".//etc/passwd"}) {
    Archive archive;
    archive.add(name, "x");
    archive.end();
    EXPECT_TRUE(archive.refused()) << name;
  }
  for (const char type : {'1', '2', '3', '4', '6', '7', 'L', 'K', 'S', 'V'}) {
    Archive archive;
    archive.add("config", "x", type);
    archive.end();
    EXPECT_TRUE(archive.refused()) << type;
  }
  Archive twice;
  twice.add("config", "x");
  twice.add("./config", "y");
  twice.end();
  EXPECT_TRUE(twice.refused());
}

TEST(Tar, HostileSizesAreRefusedOrLeaveTheArchiveIncomplete) {
  for (const std::string_view size : {"77777777777", "00000100000"}) {
    TarBlock header = encode_tar_header("config", 1, 0);
    std::ranges::copy(as_bytes(size), header.begin() + 124);
    Archive::seal(header);
    Archive archive;
    archive.append(header, "x");
    archive.end();
    EXPECT_FALSE(archive.read().complete) << size;
    EXPECT_TRUE(archive.read().members.empty());
  }
  for (const std::string_view size :
       {std::string_view("-0000000001", 11), std::string_view("\x80\0\0\0\0\0\0\0\0\0\1", 11),
        std::string_view("           ", 11), std::string_view("0x000000001", 11)}) {
    TarBlock header = encode_tar_header("config", 1, 0);
    std::ranges::copy(as_bytes(size), header.begin() + 124);
    Archive::seal(header);
    Archive archive;
    archive.append(header, "x");
    EXPECT_TRUE(archive.refused()) << size;
  }
}

TEST(Tar, AChangedHeaderIsRefused) {
  Archive good;
  good.add("config", "x");
  good.end();
  for (size_t at = 0; at < kTarBlock; ++at) {
    Archive archive = good;
    archive.bytes_[at] = static_cast<char>(archive.bytes_[at] ^ 1);
    if (at < 148 || at >= 156) {
      EXPECT_TRUE(archive.refused()) << at;
    }
  }
}

TEST(Tar, ExtendedHeadersMayOnlySayWhatDoesNotMatter) {
  const auto with = [](const std::string& records) {
    Archive archive;
    archive.add("PaxHeaders/config", records, 'x');
    archive.add("config", "x");
    archive.end();
    return archive;
  };
  EXPECT_EQ(with("30 mtime=1700000000.123456789\n").read().members.size(), 1U);
  for (const char* records : {"15 path=../../x\n", "10 size=99\n", "99 mtime=1\n", "mtime=1\n",
                              "0 a=b\n", "22 GNU.sparse.major=1\n", "99999999999999999999 a=b\n"}) {
    EXPECT_TRUE(with(records).refused()) << records;
  }
}

TEST(Tar, NamesAndSizesThatDoNotFitAreNotWritten) {
  EXPECT_THROW((void)encode_tar_header(std::string(101, 'x'), 1, 0), Error);
  EXPECT_THROW((void)encode_tar_header("x", uint64_t{1} << 33, 0), Error);
}

}  // namespace
}  // namespace salvor
