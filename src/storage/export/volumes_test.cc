#include "storage/export/volumes.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

class Volumes : public testing::Test {
 protected:
  [[nodiscard]] std::string path(const std::string& name = "x.tar") const {
    return (directory_ / name).string();
  }
  void write(std::string_view content, uint64_t volume_bytes, bool overwrite = false) const {
    VolumeWriter writer({.path = path(), .volume_bytes = volume_bytes, .overwrite = overwrite});
    writer.write(as_bytes(content.substr(0, content.size() / 3)));
    writer.write(as_bytes(content.substr(content.size() / 3)));
    (void)writer.finish();
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    const VolumeReader reader(path(name));
    Buffer all(reader.size_bytes());
    reader.read(0, all.bytes());
    return std::string(as_text(all.view()));
  }
  void change(const std::string& name) const {
    std::fstream file(path(name), std::ios::in | std::ios::out | std::ios::binary);
    file.put('#');
  }
  template <class Call>
  static std::string message_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error.message() + " / " + error.hint();
    }
    return "no error";
  }

  TestContext context_;
  TempDirectory directory_{TempPlace::kMemory};
};

TEST_F(Volumes, PutTogetherAreTheFile) {
  write("0123456789", 4);
  EXPECT_THAT(names(), UnorderedElementsAre("x.tar.001", "x.tar.002", "x.tar.003", "x.tar.sha256"));
  EXPECT_EQ(read("x.tar"), "0123456789");
  EXPECT_EQ(read("x.tar.001"), "0123456789");
  const VolumeReader reader(path());
  for (size_t begin = 0; begin <= 10; ++begin) {
    for (size_t end = begin; end <= 10; ++end) {
      Buffer part(end - begin);
      reader.read(begin, part.bytes());
      EXPECT_EQ(as_text(part.view()), std::string("0123456789").substr(begin, end - begin));
    }
  }
  Buffer beyond(2);
  EXPECT_THROW(reader.read(9, beyond.bytes()), Error);
  EXPECT_NO_THROW(reader.verify(*context_));
}

TEST_F(Volumes, AnExactMultipleHasNoEmptyLastVolume) {
  write("01234567", 4);
  EXPECT_THAT(names(), UnorderedElementsAre("x.tar.001", "x.tar.002", "x.tar.sha256"));
}

TEST_F(Volumes, UnfinishedOnesHaveNoNamesAndGo) {
  {
    VolumeWriter writer({.path = path(), .volume_bytes = 4});
    writer.write(as_bytes("0123456789"));
    for (const std::string& name : names()) {
      EXPECT_THAT(name, HasSubstr(".partial"));
    }
  }
  EXPECT_TRUE(names().empty());
}

TEST_F(Volumes, NothingIsReplacedUnlessAsked) {
  write("first", 0);
  EXPECT_THAT(message_of([&] { write("second", 0); }), HasSubstr("exists already"));
  EXPECT_EQ(read("x.tar"), "first");
  write("second, in pieces", 4, true);
  EXPECT_EQ(read("x.tar"), "second, in pieces");
  write("short", 4, true);  // the volumes 3 to 5 of before are not its end
  EXPECT_EQ(read("x.tar"), "short");
  write("one", 0, true);
  EXPECT_THAT(names(), UnorderedElementsAre("x.tar", "x.tar.sha256"));
}

TEST_F(Volumes, DamagedOnesAreNamed) {
  write("0123456789", 2);
  change("x.tar.002");
  change("x.tar.005");
  const VolumeReader reader(path());
  const std::string message = message_of([&] { reader.verify(*context_); });
  EXPECT_THAT(message, HasSubstr("x.tar.002, "));
  EXPECT_THAT(message, HasSubstr("x.tar.005"));
  EXPECT_EQ(message.find("x.tar.003"), std::string::npos);
}

TEST_F(Volumes, MissingOnesAreNamedWithAndWithoutSums) {
  write("0123456789", 4);
  for (const char* missing : {"x.tar.001", "x.tar.002", "x.tar.003"}) {
    std::filesystem::rename(path(missing), path("away"));
    EXPECT_THAT(message_of([&] { VolumeReader reader(path()); }),
                HasSubstr(std::string(missing) + " is missing"));
    std::filesystem::rename(path("away"), path(missing));
  }
  std::filesystem::remove(path("x.tar.sha256"));
  std::filesystem::remove(path("x.tar.002"));
  EXPECT_THAT(VolumeReader(path()).next_volume(), HasSubstr("x.tar.002"));
}

TEST_F(Volumes, WhatTheSumsSayNothingOfIsNotVerified) {
  write("0123456789", 4);
  std::filesystem::copy(path("x.tar.003"), path("x.tar.004"));  // of another, longer export
  EXPECT_THAT(message_of([&] { VolumeReader(path()).verify(*context_); }),
              HasSubstr("says nothing of " + path("x.tar.004")));
  std::filesystem::remove(path("x.tar.004"));
  EXPECT_NO_THROW(VolumeReader(path()).verify(*context_));
  // Renamed together with its sums: nothing in them is about it.
  for (const char* number : {"001", "002", "003"}) {
    std::filesystem::rename(path(std::string("x.tar.") + number),
                            path(std::string("y.tar.") + number));
  }
  std::filesystem::rename(path("x.tar.sha256"), path("y.tar.sha256"));
  EXPECT_EQ(read("y.tar"), "0123456789");
  EXPECT_THAT(message_of([&] { VolumeReader(path("y.tar")).verify(*context_); }),
              HasSubstr("y.tar.001, "));
}

TEST_F(Volumes, SumsAreWhatSha256sumReads) {
  write("abc", 0);
  std::ifstream file(path("x.tar.sha256"));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  x.tar\n");
}

TEST_F(Volumes, NamesThatSumsCannotHoldAreRefused) {
  for (const char* name : {"", "a\nb", "a\\b", ".", "dir/.."}) {
    EXPECT_THAT(message_of([&] { VolumeWriter writer({.path = path(name)}); }),
                HasSubstr("not a name"))
        << name;
  }
}

TEST_F(Volumes, SumsFromElsewhereAreReadToo) {
  write("0123456789", 4);
  std::ifstream file(path("x.tar.sha256"));
  std::stringstream text;
  for (std::string line; std::getline(file, line);) {
    text << line << "\r\n";  // as an editor on Windows leaves them
  }
  file.close();
  std::ofstream(path("x.tar.sha256"), std::ios::binary) << "a note\r\n" << text.str();
  const VolumeReader reader(path());
  EXPECT_NO_THROW(reader.verify(*context_));
  change("x.tar.003");
  EXPECT_THAT(message_of([&] { reader.verify(*context_); }), HasSubstr("x.tar.003"));
}

TEST_F(Volumes, WhatIsNoFileIsSaid) {
  EXPECT_THAT(message_of([&] { VolumeReader reader(path("absent.tar")); }),
              AllOf(HasSubstr("neither a file"), HasSubstr("absent.tar.001")));
  EXPECT_THAT(message_of([&] { VolumeReader reader(directory_.path().string()); }),
              HasSubstr("is not a regular file"));
}

}  // namespace
}  // namespace salvor::test
