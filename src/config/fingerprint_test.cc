#include "config/fingerprint.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_directory.h"

namespace salvor::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

YamlNode tree(const std::string& text) {
  SourceTexts sources;
  static_cast<void>(sources.add({.name = "salvor.yaml", .text = text}));
  Problems problems;
  YamlNode node = read_yaml(0, sources, problems);
  EXPECT_EQ(problems.errors(), 0U);
  return node;
}

class FingerprintTest : public ::testing::Test {
 protected:
  std::vector<ConfigurationChange> note(const std::string& text) {
    std::vector<ConfigurationChange> seen;
    note_configuration(path_, fingerprint_of(tree(text)),
                       [&](const ConfigurationChange& change) { seen.push_back(change); });
    return seen;
  }
  std::string content() {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  test::TempDirectory directory_;
  const std::string path_ = (directory_ / "audit/configuration").string();
};

TEST_F(FingerprintTest, TheFirstSightIsAChangeFromNothing) {
  const auto seen = note("application: shop\n");
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].before, "");
  EXPECT_EQ(seen[0].after, fingerprint_of(tree("application: shop\n")).hash);
  EXPECT_THAT(seen[0].keys, IsEmpty());
  EXPECT_THAT(note("application: shop\n"), IsEmpty()) << "seen once is enough";
}

TEST_F(FingerprintTest, NamesTheKeysThatChangedCameAndWent) {
  static_cast<void>(note("a: {schedule: daily, hooks: [one, two]}\nb: 1\n"));
  const std::string before =
      fingerprint_of(tree("a: {schedule: daily, hooks: [one, two]}\nb: 1\n")).hash;
  const auto seen = note("a: {schedule: hourly, hooks: [one]}\nc: {d: 2}\n");
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].before, before);
  EXPECT_THAT(seen[0].keys, ElementsAre("a.schedule", "+ c.d", "- a.hooks[1]", "- b"));
}

TEST_F(FingerprintTest, CommentsAndLayoutAreNoChange) {
  static_cast<void>(note("a: {schedule: daily}\n"));
  EXPECT_THAT(note("# who wrote this?\na:\n    schedule: daily   # every night\n"), IsEmpty());
}

TEST_F(FingerprintTest, WhatCannotBeRecordedIsAChangeTheNextTime) {
  EXPECT_THROW(note_configuration(path_, fingerprint_of(tree("a: 1\n")),
                                  [](const ConfigurationChange&) {
                                    throw Error(ErrorCode::kStorageFull, "no room");
                                  }),
               Error);
  EXPECT_THAT(note("a: 1\n"), SizeIs(1));
}

TEST_F(FingerprintTest, KeepsNoValues) {
  static_cast<void>(note("hooks: {before: mysecretcommand --token hunter2}\n"));
  EXPECT_THAT(content(), ::testing::HasSubstr("hooks.before"));
  EXPECT_THAT(content(), ::testing::Not(::testing::HasSubstr("hunter2")));
}

TEST_F(FingerprintTest, ATornOrForeignFileIsAChangeAndIsReplaced) {
  static_cast<void>(note("a: 1\n"));
  std::ofstream(path_) << "\n\n garbage";
  EXPECT_THAT(note("a: 1\n"), SizeIs(1));
  EXPECT_THAT(note("a: 1\n"), IsEmpty());
}

}  // namespace
}  // namespace salvor::config
