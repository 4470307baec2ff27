#include "base/error.h"

#include <cerrno>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace salvor {
namespace {

// Scripts written for restic rely on these.
TEST(Error, ExitStatusesAreRestics) {
  EXPECT_EQ(exit_status(ErrorCode::kFailed), 1);
  EXPECT_EQ(exit_status(ErrorCode::kIncomplete), 3);
  EXPECT_EQ(exit_status(ErrorCode::kNoRepository), 10);
  EXPECT_EQ(exit_status(ErrorCode::kLocked), 11);
  EXPECT_EQ(exit_status(ErrorCode::kWrongPassword), 12);
  EXPECT_EQ(exit_status(ErrorCode::kCancelled), 130);
}

TEST(Error, EveryCodeHasItsOwnNameAndStatus) {
  std::set<int> statuses;
  std::set<std::string_view> names;
  const auto last = static_cast<int>(ErrorCode::kCancelled);
  for (int code = 0; code <= last; ++code) {
    statuses.insert(exit_status(static_cast<ErrorCode>(code)));
    names.insert(error_code_name(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(statuses.size(), static_cast<size_t>(last) + 1);
  EXPECT_EQ(names.size(), static_cast<size_t>(last) + 1);
}

TEST(Error, ErrnoDecidesCodeAndHint) {
  const std::pair<int, ErrorCode> cases[] = {
      {ENOSPC, ErrorCode::kStorageFull}, {EDQUOT, ErrorCode::kStorageFull},
      {EACCES, ErrorCode::kPermission},  {EPERM, ErrorCode::kPermission},
      {EROFS, ErrorCode::kPermission},   {ENOENT, ErrorCode::kNotFound},
      {ESTALE, ErrorCode::kUnreachable}, {ETIMEDOUT, ErrorCode::kUnreachable},
      {EIO, ErrorCode::kFailed},         {EMFILE, ErrorCode::kFailed}};
  for (const auto& [number, code] : cases) {
    const Error error = Error::from_errno(number, "cannot write /a");
    EXPECT_EQ(error.code(), code) << number;
    EXPECT_EQ(error.error_number(), number);
    EXPECT_TRUE(error.message().starts_with("cannot write /a: ")) << error.message();
    EXPECT_EQ(error.hint().empty(), number == ENOENT) << number;
    EXPECT_EQ(error.retryable(), code == ErrorCode::kUnreachable);
  }
}

TEST(Error, ContextIsPutInFront) {
  Error error(ErrorCode::kDamaged, "bad length", "Run check.");
  error.within("pack 1a2b3c4d").within("cannot restore /a");
  EXPECT_EQ(error.message(), "cannot restore /a: pack 1a2b3c4d: bad length");
  EXPECT_STREQ(error.what(), error.message().c_str());
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  EXPECT_EQ(error.hint(), "Run check.");
}

}  // namespace
}  // namespace salvor
