#include "engine/store.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

TEST(Moments, AreReadAsTheyAreShown) {
  const std::pair<const char*, Moment::Kind> all[] = {
      {"latest", Moment::kLatest},
      {"2026-11-21 07:00:00Z", Moment::kAt},
      {"snapshot:1a2b3c4d", Moment::kSnapshot},
      {"label:before-upgrade", Moment::kLabel},
      {"lsn:0/3000028", Moment::kPosition},
      {"xid:741", Moment::kPosition},
      {"name:before", Moment::kPosition},
  };
  for (const auto& [text, kind] : all) {
    const Moment moment = Moment::parse(text);
    EXPECT_EQ(moment.kind, kind) << text;
    EXPECT_EQ(moment.display(), text);
  }
  EXPECT_EQ(Moment::parse("").kind, Moment::kLatest);
  for (const char* bad : {"label:", "lsn:", "newest"}) {
    EXPECT_THROW((void)Moment::parse(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace salvor
