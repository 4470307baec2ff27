#include "cli/command_audit.h"

#include <gtest/gtest.h>

namespace salvor::cli {
namespace {

TEST(CommandAudit, PasswordsAreNotWrittenDown) {
  EXPECT_EQ(without_passwords("postgresql://user:secret@host/db"), "postgresql://user:***@host/db");
  EXPECT_EQ(without_passwords("no answer from rest:https://u:p@ss:w@rd@host:8000/x, again"),
            "no answer from rest:https://u:***@host:8000/x, again");
  EXPECT_EQ(without_passwords("cannot open 's3://host:9000/bucket': ask admin@example.org"),
            "cannot open 's3://host:9000/bucket': ask admin@example.org");
  EXPECT_EQ(without_passwords("host=h password=secret dbname=d"), "host=h password=***");
  EXPECT_EQ(without_passwords("nothing of that kind"), "nothing of that kind");
}

}  // namespace
}  // namespace salvor::cli
