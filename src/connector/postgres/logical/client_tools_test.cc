#include "connector/postgres/logical/client_tools.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace salvor::postgres {
namespace {

std::string archive_of(char minor) {
  return std::string("PGDMP\x01") + minor + std::string("\0\x04\x08\x01", 4);
}

TEST(ClientTools, AnArchiveSaysWhoCanReadIt) {
  EXPECT_EQ(oldest_reader(as_bytes(archive_of(14))), 0U) << "12 to 15";
  EXPECT_EQ(oldest_reader(as_bytes(archive_of(15))), 16U);
  EXPECT_EQ(oldest_reader(as_bytes(archive_of(16))), 17U) << "17 and 18";
  EXPECT_EQ(oldest_reader(as_bytes("PGDMP")), 0U);
  EXPECT_EQ(oldest_reader(as_bytes("-- a script")), 0U);
}

// A folder with programs that only know which version they are.
class Programs : public testing::Test {
 protected:
  Programs() {
    std::string name = testing::TempDir() + "salvor-tools-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream(folder_ + "/pg_restore")
        << "#!/bin/sh\necho 'pg_restore (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)'\n";
    std::filesystem::permissions(folder_ + "/pg_restore", std::filesystem::perms::owner_all);
  }
  ~Programs() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(Programs, OneThatCannotReadTheSchemaIsNotTaken) {
  EXPECT_EQ(find_restore_tools(folder_, as_bytes(archive_of(14)), 150018), folder_);
  EXPECT_EQ(find_restore_tools(folder_, as_bytes(archive_of(14)), 130023), folder_);
  try {
    static_cast<void>(find_restore_tools(folder_, as_bytes(archive_of(16)), 150018));
    FAIL() << "pg_restore 15 does not read what pg_dump 17 wrote";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.message().find("older than the backup's pg_dump, which is 17"),
              std::string::npos)
        << error.message();
  }
  try {
    static_cast<void>(find_restore_tools(folder_, as_bytes(archive_of(16)), 180004));
    FAIL() << "nor what came from an 18";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("older than the server, which is 18"), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace salvor::postgres
