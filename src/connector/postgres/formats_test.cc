// PostgreSQL's formats, against what real servers wrote (tests/data/postgres, made by tools of
// PostgreSQL itself).
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/fd.h"
#include "connector/postgres/backup_facts.h"
#include "connector/postgres/backup_label.h"
#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/connection.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/database_url.h"
#include "connector/postgres/lsn.h"
#include "connector/postgres/page.h"
#include "connector/postgres/timeline_history.h"
#include "connector/postgres/wal_segment.h"
#include "support/test_data.h"

namespace salvor::postgres {
namespace {

constexpr SegmentSize k16MiB{16U << 20};
constexpr SegmentSize k1GiB{1U << 30};

Buffer data_file(const std::string& name) {
  return read_file(test::test_data("postgres/" + name), 16U << 20);
}

template <class Call>
ErrorCode code_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kFailed;
}

TEST(PostgresLsn, IsReadAndWrittenAsTheServerDoes) {
  EXPECT_EQ(Lsn::parse("16/B374D848")->value, 0x16B374D848U);
  EXPECT_EQ((Lsn{0x16B374D848U}).text(), "16/B374D848");
  EXPECT_EQ((Lsn{0x28}).text(), "0/28");
  for (const char* wrong : {"", "/", "0/", "/0", "0/123456789", "0/-1", "0/0 ", "g/0", "0x1/0"}) {
    EXPECT_FALSE(Lsn::parse(wrong)) << wrong;
  }
}

TEST(PostgresLsn, SegmentNamesFollowTheSegmentSize) {
  const Lsn lsn{0x16B374D848U};
  EXPECT_EQ(segment_name({3}, segment_of(lsn, k16MiB), k16MiB), "0000000300000016000000B3");
  EXPECT_EQ(segment_name({3}, segment_of(lsn, k1GiB), k1GiB), "000000030000001600000002");
  EXPECT_EQ(parse_wal_file_name("000000030000001600000002", k1GiB)->segment,
            segment_of(lsn, k1GiB));
  EXPECT_FALSE(parse_wal_file_name("000000030000001600000004", k1GiB)) << "beyond a 4 GiB 'file'";
}

TEST(PostgresLsn, TheLastSegmentNeededIsThatOfTheByteBefore) {
  EXPECT_EQ(segment_before({0x2000000}, k16MiB).value, 1U);
  EXPECT_EQ(segment_before({0x2000001}, k16MiB).value, 2U);
  EXPECT_EQ(segment_before({0}, k16MiB).value, 0U);
}

TEST(PostgresLsn, ArchivedFileNamesAreToldApart) {
  const auto kind = [](const char* name) { return parse_wal_file_name(name, k16MiB)->kind; };
  EXPECT_EQ(kind("000000010000000000000005"), WalFileKind::kSegment);
  EXPECT_EQ(kind("000000010000000000000005.partial"), WalFileKind::kPartial);
  EXPECT_EQ(kind("000000010000000000000005.00000028.backup"), WalFileKind::kBackup);
  EXPECT_EQ(kind("00000002.history"), WalFileKind::kHistory);
  for (const char* wrong :
       {"", "0", "00000000.history", "00000002.histor", "00000001000000000000000g",
        "00000001000000000000000a", "0000000100000000000001FF", "000000010000000000000005.", "../x",
        "000000010000000000000005.part", "000000010000000000000005.0000002.backup",
        "000000010000000000000005.00000028.backup ", "RECOVERYXLOG", "000000000000000000000005"}) {
    EXPECT_FALSE(parse_wal_file_name(wrong, k16MiB)) << wrong;
  }
}

TEST(PostgresLsn, SegmentSizesAreThoseThatInitdbTakes) {
  EXPECT_EQ(SegmentSize::parse("16MB"), k16MiB);
  EXPECT_EQ(SegmentSize::parse("1GB"), k1GiB);
  for (const char* wrong : {"", "MB", "3MB", "2GB", "16", "16kB", "99999999999999999999MB"}) {
    EXPECT_FALSE(SegmentSize::parse(wrong)) << wrong;
  }
}

TEST(PostgresTimelines, AHistoryTellsWhichTimelineWroteAByte) {
  const TimelineHistory history =
      TimelineHistory::parse({4},
                             "1\t0/3000000\tno recovery target specified\n\n# a "
                             "remark\n3\t0/5000028\tat restore point \"x\"\n");
  EXPECT_EQ(history.timeline_at({0x2ffffff}).value, 1U);
  EXPECT_EQ(history.timeline_at({0x3000000}).value, 3U);
  EXPECT_EQ(history.timeline_at({0x5000028}).value, 4U);
  EXPECT_EQ(history.end_of({1}), (Lsn{0x3000000}));
  EXPECT_FALSE(history.end_of({2}));
  EXPECT_FALSE(history.contains({2}));
  EXPECT_EQ(history.ancestors()[1].reason, "at restore point \"x\"");
}

TEST(PostgresTimelines, ABackupBeyondTheBranchDoesNotReachTheTimeline) {
  const TimelineHistory history = TimelineHistory::parse({2}, "1\t0/3000000\tx\n");
  EXPECT_TRUE(history.passes_through({1}, {0x3000000}));
  EXPECT_FALSE(history.passes_through({1}, {0x3000001}));
  EXPECT_TRUE(history.passes_through({2}, {0x3000000}));
  EXPECT_FALSE(history.passes_through({2}, {0x2ffffff}));
  EXPECT_FALSE(history.passes_through({3}, {0x1}));
}

TEST(PostgresTimelines, DamagedHistoriesAreRefused) {
  for (const char* wrong : {"1\n", "x\t0/1\ty\n", "2\t0/1\ty\n", "1\t0/2\ta\n1\t0/3\tb\n",
                            "0\t0/1\ta\n", "1\t0:1\ta\n"}) {
    EXPECT_EQ(code_of([&] { return TimelineHistory::parse({2}, wrong); }), ErrorCode::kDamaged)
        << wrong;
  }
}

TEST(PostgresBackupLabel, SaysWhereReplayBegins) {
  const BackupLabel label = parse_backup_label(
      "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: "
      "0/2000060\n"
      "BACKUP METHOD: streamed\nBACKUP FROM: standby\nSTART TIME: 2026-11-21 06:55:20 UTC\n"
      "LABEL: a: b\nSTART TIMELINE: 7\n");
  EXPECT_EQ(label.start, (Lsn{0x2000028}));
  EXPECT_EQ(label.start_segment, "000000010000000000000002");
  EXPECT_EQ(label.checkpoint, (Lsn{0x2000060}));
  EXPECT_TRUE(label.from_standby);
  EXPECT_EQ(label.label, "a: b");
  EXPECT_EQ(label.timeline.value, 7U);
  EXPECT_EQ(code_of([] { return parse_backup_label("LABEL: x\n"); }), ErrorCode::kDamaged);
  EXPECT_EQ(code_of([] { return parse_backup_label("START WAL LOCATION: 0/2000028\n"); }),
            ErrorCode::kDamaged);
}

TEST(PostgresBackupLabel, LosesOnlyTheLinesOfAnIncrementalBackup) {
  const std::string text =
      "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nINCREMENTAL FROM LSN: 0/28\n"
      "INCREMENTAL FROM TLI: 1\nLABEL: x";
  EXPECT_EQ(without_incremental_lines(text),
            "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nLABEL: x");
}

TEST(PostgresTablespaceMap, KeepsStrangePaths) {
  const std::vector<TablespaceLocation> map{{16400, "/srv/a b"}, {16401, "/srv/new\nline\\and"}};
  EXPECT_EQ(parse_tablespace_map(format_tablespace_map(map)), map);
  EXPECT_EQ(format_tablespace_map(map), "16400 /srv/a b\n16401 /srv/new\\\nline\\\\and\n");
  for (const char* wrong :
       {"16400", "16400 \n", "x /a\n", "16400 relative\n", "16400 /a", "0 /a\n"}) {
    EXPECT_EQ(code_of([&] { return parse_tablespace_map(wrong); }), ErrorCode::kDamaged) << wrong;
  }
}

TEST(PostgresControlFile, IsReadFromEveryServerVersion) {
  // What pg_controldata of each said.
  const ControlFile old = parse_control_file(data_file("pg_control.15").view());
  EXPECT_EQ(old.major_version, 15U);
  EXPECT_TRUE(old.page_checksums);
  EXPECT_EQ(old.state, ClusterState::kShutDown);
  EXPECT_EQ(old.segment_size, k16MiB);
  EXPECT_EQ(old.timeline.value, 1U);
  const ControlFile modern = parse_control_file(data_file("pg_control.18").view());
  EXPECT_EQ(modern.major_version, 18U);
  EXPECT_EQ(modern.segment_size, (SegmentSize{1U << 20}));
  EXPECT_FALSE(modern.page_checksums);
  EXPECT_NE(old.system_identifier, modern.system_identifier);
}

TEST(PostgresControlFile, OneWrongBitIsNoticed) {
  for (const char* name : {"pg_control.15", "pg_control.18"}) {
    for (const size_t place : {0U, 9U, 40U, 252U, 290U}) {
      Buffer copy = data_file(name);
      copy.data()[place] ^= std::byte{4};
      EXPECT_EQ(code_of([&] { return parse_control_file(copy.view()); }), ErrorCode::kDamaged)
          << place;
    }
  }
}

TEST(PostgresPages, ChecksumsOfARealTableAreRight) {
  // pg_class of a new cluster with checksums; its pages were written by the server.
  const Buffer table = data_file("relation.15");
  ASSERT_GT(table.size(), 3 * kPageBytes);
  for (uint32_t block = 0; block * kPageBytes < table.size(); ++block) {
    const ByteView page = table.view(block * kPageBytes, kPageBytes);
    EXPECT_EQ(judge_page(page, block, {UINT64_MAX}), PageVerdict::kGood) << block;
    EXPECT_EQ(judge_page(page, block + 1, {UINT64_MAX}), PageVerdict::kDamaged)
        << "a misplaced page";
    EXPECT_EQ(judge_page(page, block, {1}), PageVerdict::kChanged);
  }
}

TEST(PostgresPages, AWrongBitAnywhereIsNoticed) {
  const Buffer table = data_file("relation.15");
  for (const size_t place : {8U, 17U, 100U, 4096U, 8191U}) {
    Buffer page = Buffer::copy_of(table.view(0, kPageBytes));
    page.data()[place] ^= std::byte{1};
    EXPECT_EQ(judge_page(page.view(), 0, {UINT64_MAX}), PageVerdict::kDamaged) << place;
  }
  EXPECT_EQ(judge_page(Buffer::copy_of(std::vector<std::byte>(kPageBytes)).view(), 0, {1}),
            PageVerdict::kNew);
}

TEST(PostgresPages, OnlyRelationFilesHoldThem) {
  const auto second = parse_relation_path("base/16384/16397.2");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->first_block(), 262144U);
  EXPECT_EQ(parse_relation_path("base/16384/16397_fsm")->fork, "fsm");
  EXPECT_EQ(parse_relation_path("pg_tblspc/16400/PG_15_202209061/5/16397")->tablespace, 16400U);
  EXPECT_EQ(parse_relation_path("global/1262")->database, 0U);
  for (const char* other : {"global/pg_control", "base/5/PG_VERSION", "base/5/pg_filenode.map",
                            "PG_VERSION", "pg_xact/0000", "base/5/pg_internal.init", "base/5/1_x",
                            "base/5/1.0", "base/5/t3_16397", "base/x/1", "global/"}) {
    EXPECT_FALSE(parse_relation_path(other)) << other;
  }
}

TEST(PostgresWalSegment, IsKnownByItsFirstPage) {
  const Buffer head = data_file("wal-head.15");
  const WalSegmentHeader header = parse_wal_segment(head.view());
  EXPECT_EQ(header.major_version, 15U);
  EXPECT_EQ(header.segment_size, k16MiB);
  EXPECT_EQ(header.address.value % k16MiB.bytes, 0U);
  Buffer segment = Buffer::copy_of(head.view());
  const size_t before = segment.size();
  segment.resize(k16MiB.bytes);
  std::memset(segment.data() + before, 0, segment.size() - before);
  const WalFileName right{.timeline = {1}, .segment = segment_of(header.address, k16MiB)};
  EXPECT_EQ(check_wal_segment(right, segment.view()).system_identifier, header.system_identifier);
  EXPECT_EQ(code_of([&] { return check_wal_segment(right, segment.view(0, 1U << 20)); }),
            ErrorCode::kDamaged)
      << "cut off";
  const WalFileName other{.timeline = {1}, .segment = {right.segment.value + 1}};
  EXPECT_EQ(code_of([&] { return check_wal_segment(other, segment.view()); }), ErrorCode::kDamaged)
      << "another segment under this name (a recycled file)";
}

TEST(PostgresWalSegment, APageIsKnownByItsPlace) {
  const Buffer head = data_file("wal-head.15");
  const Lsn start = parse_wal_segment(head.view()).address;
  EXPECT_TRUE(is_wal_page(head.view(), {1}, start));
  EXPECT_TRUE(is_wal_page(head.view(), {2}, start)) << "copied when the timeline began";
  EXPECT_FALSE(is_wal_page(head.view(), {1}, {start.value + kWalPageBytes})) << "a reused file";
  EXPECT_FALSE(is_wal_page(head.view(0, kWalPageHeaderBytes - 1), {1}, start));
  const Buffer zeros = Buffer::copy_of(as_bytes(std::string(kWalPageBytes, '\0')));
  EXPECT_FALSE(is_wal_page(zeros.view(), {1}, {0}));
}

TEST(PostgresManifest, ListsWhatTheServerSent) {
  const Buffer json = data_file("backup_manifest.15");
  const BackupManifest manifest = parse_backup_manifest(json.view());
  EXPECT_EQ(manifest.version, 1U);
  ASSERT_GT(manifest.files.size(), 10U);
  EXPECT_EQ(manifest.files[0].algorithm, "CRC32C");
  EXPECT_EQ(manifest.files[0].checksum.size(), 4U);
  ASSERT_EQ(manifest.wal_ranges.size(), 1U);
  EXPECT_LT(manifest.wal_ranges[0].start, manifest.wal_ranges[0].end);
  Buffer wrong = Buffer::copy_of(json.view());
  const size_t digit = as_text(json.view()).find("\"Size\": ") + 8;
  wrong.data()[digit] = wrong.data()[digit] == std::byte{'1'} ? std::byte{'2'} : std::byte{'1'};
  EXPECT_EQ(code_of([&] { return parse_backup_manifest(wrong.view()); }), ErrorCode::kDamaged);
}

TEST(PostgresFacts, SurviveBeingTags) {
  const BackupFacts facts{.system_identifier = 7710520511053845711U,
                          .version = "15.18",
                          .timeline = {2},
                          .start = {0x2000028},
                          .stop = {0x2000138},
                          .stop_time = WallTime(std::chrono::microseconds(1795244400123456)),
                          .damaged = true};
  std::vector<std::string> tags = to_tags(facts);
  tags.insert(tags.begin(), "pre-migration");
  const auto again = from_tags(tags);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->system_identifier, facts.system_identifier);
  EXPECT_EQ(again->stop, facts.stop);
  EXPECT_EQ(again->stop_time, facts.stop_time);
  EXPECT_TRUE(again->damaged);
  tags.erase(tags.begin() + 1);
  EXPECT_FALSE(from_tags(tags)) << "not marked as a backup of PostgreSQL";
}

TEST(PostgresUrl, DriversOfApplicationsAreTakenOff) {
  EXPECT_EQ(normalize_url("postgresql+asyncpg://u@h/d"), "postgresql://u@h/d");
  EXPECT_EQ(normalize_url("postgres://u@h/d?sslmode=require"),
            "postgresql://u@h/d?sslmode=require");
  EXPECT_EQ(normalize_url("jdbc:postgresql://h/d"), "postgresql://h/d");
  EXPECT_EQ(normalize_url("host=h dbname=d"), "host=h dbname=d");
  EXPECT_EQ(normalize_url("postgresql+psycopg2://u:p%40x@h:6543/d"),
            "postgresql://u:p%40x@h:6543/d");
  EXPECT_EQ(normalize_url("postgis://h/d"), "postgresql://h/d");
  EXPECT_EQ(normalize_url("jdbc:postgresql:shop?user=u"), "postgresql://localhost/shop?user=u");
  EXPECT_EQ(normalize_url("jdbc:postgresql:/shop"), "postgresql://localhost/shop");
  EXPECT_EQ(normalize_url("mysql+asyncpg://u@h/d"), "mysql+asyncpg://u@h/d");
}

TEST(PostgresUrl, ParametersOfDriversAreLeftOutAndSslIsTranslated) {
  EXPECT_EQ(normalize_url("postgres://h/d?pgbouncer=true&schema=x&connect_timeout=5"),
            "postgresql://h/d?connect_timeout=5");
  EXPECT_EQ(
      normalize_url("postgresql+asyncpg://h/d?ssl=verify-full&prepared_statement_cache_size=0"),
      "postgresql://h/d?sslmode=verify-full");
  EXPECT_EQ(normalize_url("jdbc:postgresql://h/d?user=u&ssl=true&ApplicationName=a"),
            "postgresql://h/d?user=u&sslmode=require&application_name=a");
  EXPECT_EQ(normalize_url("postgres://h/d?ssl=false"), "postgresql://h/d?sslmode=disable");
}

TEST(PostgresUrl, PoolersAreKnownByTheirAddresses) {
  EXPECT_TRUE(looks_like_transaction_pooler("aws-0-eu-central-1.pooler.supabase.com", "6543"));
  EXPECT_FALSE(looks_like_transaction_pooler("aws-0-eu-central-1.pooler.supabase.com", "5432"))
      << "Supabase's session pooler, which is fine";
  EXPECT_TRUE(looks_like_transaction_pooler("ep-x-1-pooler.eu-central-1.aws.neon.tech", "5432"));
  EXPECT_FALSE(looks_like_transaction_pooler("db.example.com", "5432"));
}

}  // namespace
}  // namespace salvor::postgres
