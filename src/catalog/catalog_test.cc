#include "catalog/catalog.h"

#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/run_log.h"
#include "codec/run_record_codec.h"
#include "repo/run_records.h"
#include "storage/decorators/counting_storage.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

WallTime at(int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

RunRecord run_at(int64_t seconds, const std::string& subject = "files",
                 RunKind kind = RunKind::kBackup) {
  static SeededRandom random(99);
  RunRecord record;
  record.id = make_run_id(random);
  record.kind = kind;
  record.outcome = RunOutcome::kSucceeded;
  record.subject = subject;
  record.repository = "main";
  record.snapshot = std::string(64, 'a');
  record.started = at(seconds);
  record.finished = at(seconds + 10);
  return record;
}

std::vector<std::string> ids(const std::vector<RunRecord>& records) {
  std::vector<std::string> all;
  for (const RunRecord& record : records) {
    all.push_back(record.id);
  }
  return all;
}

class CatalogTest : public ::testing::Test {
 protected:
  Catalog open() { return Catalog::open(*context_, directory_.path().string()); }
  std::string file() const { return (directory_ / "catalog.db").string(); }
  size_t warnings() {
    size_t count = 0;
    for (const Event& event : context_.events.events()) {
      count += std::holds_alternative<Warning>(event) ? 1 : 0;
    }
    return count;
  }

  test::TempDirectory directory_;
  test::TestContext context_;
};

// Others may pass through the state directory, to a sandbox: not read this.
TEST_F(CatalogTest, OnlyItsOwnerReadsIt) {
  const mode_t before = ::umask(0);
  Catalog catalog = open();
  catalog.add(run_at(100), true);
  ::umask(before);
  for (const char* name : {"catalog.db", "catalog.db-wal", "catalog.db-shm", "catalog.lock"}) {
    struct stat status{};
    ASSERT_EQ(::stat((directory_ / name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(CatalogTest, AnswersWhatRanLastAndWithinATime) {
  const RunRecord one = run_at(100);
  const RunRecord two = run_at(200);
  const RunRecord other = run_at(300, "database");
  const RunRecord proof = run_at(400, "files", RunKind::kVerify);
  {
    Catalog catalog = open();
    catalog.add({two, one, other, proof}, true);
  }
  Catalog catalog = open();
  EXPECT_EQ(catalog.last_run(RunKind::kBackup, "files")->id, two.id);
  EXPECT_FALSE(catalog.last_run(RunKind::kDrill, "files"));
  EXPECT_EQ(ids(catalog.runs({.subject = "files"})), ids({proof, two, one}));
  EXPECT_EQ(ids(catalog.runs({.from = at(200), .to = at(300)})), ids({other, two}));
  EXPECT_EQ(ids(catalog.runs({.kind = RunKind::kBackup, .limit = 2})), ids({other, two}));
  EXPECT_EQ(ids(catalog.runs({.kind = RunKind::kVerify, .snapshot = std::string(64, 'a')})),
            ids({proof}));
  EXPECT_TRUE(catalog.runs({.snapshot = std::string(64, 'b')}).empty());
  struct stat status{};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U) << "error texts are nobody else's business";
}

TEST_F(CatalogTest, AddingTwiceIsOnceAndSentStaysSent) {
  Catalog catalog = open();
  const RunRecord record = run_at(100);
  catalog.add(record, false);
  EXPECT_EQ(ids(catalog.unsent("main")), ids({record}));
  EXPECT_TRUE(catalog.unsent("other").empty());
  catalog.add(record, true);
  catalog.add(record, false);
  EXPECT_TRUE(catalog.unsent("main").empty());
  EXPECT_EQ(catalog.count_runs(), 1U);
}

TEST_F(CatalogTest, KeepsWhatWasSeen) {
  Catalog catalog = open();
  EXPECT_FALSE(catalog.seen_ranges("files"));
  const RecoveryRange range{.snapshot = std::string(64, 'c'),
                            .captured = at(10),
                            .until = at(20) + std::chrono::nanoseconds(1),
                            .durable = at(11),
                            .open_ended = true,
                            .bytes = UINT64_MAX,
                            .label = "pre",
                            .tags = {"a", "\xff"},
                            .damaged = true,
                            .gap = "hole"};
  catalog.see_ranges("files", {.at = at(30), .ranges = {range, range}});
  catalog.see_ranges("files", {.at = at(31), .ranges = {range}});
  const auto seen = catalog.seen_ranges("files");
  ASSERT_TRUE(seen && seen->ranges.size() == 1);
  EXPECT_EQ(seen->at, at(31));
  EXPECT_EQ(seen->ranges[0].until, range.until);
  EXPECT_EQ(seen->ranges[0].bytes, UINT64_MAX);
  EXPECT_TRUE(seen->ranges[0].damaged && seen->ranges[0].open_ended);
  catalog.see_copies("files", "far", {.at = at(32), .originals = {"aa", "bb"}});
  EXPECT_EQ(catalog.seen_copies("files", "far")->originals, (std::vector<std::string>{"aa", "bb"}));
  catalog.clear();
  EXPECT_FALSE(catalog.seen_ranges("files") || catalog.seen_copies("files", "far"));
}

TEST_F(CatalogTest, ADamagedFileIsSetAsideAndANewOneBegun) {
  for (const size_t from : {0U, 4096U, 9000U}) {  // the header, a table, an index
    {
      open().add(run_at(100), true);
    }
    std::fstream damage(file(), std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(static_cast<std::streamoff>(from));
    damage << std::string(4000, 'X');
    damage.close();
    Catalog catalog = open();
    ASSERT_FALSE(catalog.set_aside().empty()) << from;
    EXPECT_TRUE(std::filesystem::exists(catalog.set_aside()));
    EXPECT_EQ(catalog.count_runs(), 0U);
    catalog.add(run_at(200), true);
    EXPECT_EQ(catalog.count_runs(), 1U);
    std::filesystem::remove(catalog.set_aside());
    catalog.clear();
  }
  EXPECT_EQ(warnings(), 3U);
}

TEST_F(CatalogTest, ADamagedFileInUseIsLeftToItsUser) {
  Catalog other = open();
  other.add(run_at(100), true);
  Database(file(), std::chrono::seconds(1)).execute("PRAGMA wal_checkpoint(TRUNCATE)");
  std::fstream damage(file(), std::ios::in | std::ios::out | std::ios::binary);
  damage << std::string(100, 'X');
  damage.close();
  EXPECT_THROW(static_cast<void>(open()), Error);
  Catalog without = Catalog::open_or_do_without(*context_, directory_.path().string());
  EXPECT_TRUE(without.transient());
  EXPECT_EQ(warnings(), 1U);
}

TEST_F(CatalogTest, ANewerFileIsNotTouched) {
  {
    static_cast<void>(open());
  }
  {
    Database(file(), std::chrono::seconds(1)).execute("PRAGMA user_version = 1000");
  }
  try {
    static_cast<void>(open());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("newer"), std::string::npos);
  }
  EXPECT_EQ(Database(file(), std::chrono::seconds(1)).number("PRAGMA user_version"), 1000);
}

TEST_F(CatalogTest, WhereNoFileCanBeItGoesOnWithout) {
  Catalog catalog = Catalog::open_or_do_without(*context_, "/proc/nowhere");
  EXPECT_TRUE(catalog.transient());
  catalog.add(run_at(100), true);
  EXPECT_EQ(catalog.count_runs(), 1U);
  EXPECT_EQ(warnings(), 1U);
}

// `work` in each of so many processes, all at once; it gets the process's number.
void in_processes(int count, const std::function<void(int)>& work) {
  for (int process = 0; process < count; ++process) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      int failed = 0;
      try {
        work(process);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        failed = 1;
      }
      ::_exit(failed);
    }
  }
  for (int process = 0; process < count; ++process) {
    int status = 0;
    ASSERT_GT(::wait(&status), 0);
    EXPECT_EQ(status, 0);
  }
}

// All of them find none and want it in write-ahead mode, where SQLite waits for nobody.
TEST_F(CatalogTest, ManyProcessesMakeItAtOnce) {
  for (int round = 0; round < 20; ++round) {
    const std::string directory = (directory_.path() / std::to_string(round)).string();
    std::filesystem::create_directory(directory);
    in_processes(6, [&](int) { static_cast<void>(Catalog::open(*context_, directory)); });
  }
}

TEST_F(CatalogTest, ManyProcessesWriteAtOnce) {
  constexpr int kProcesses = 4;
  constexpr int kRuns = 25;
  in_processes(kProcesses, [&](int process) {
    test::TestContext context(static_cast<uint64_t>(process) + 1);
    SeededRandom random(static_cast<uint64_t>(process) + 1);
    for (int i = 0; i < kRuns; ++i) {
      Catalog catalog = Catalog::open(*context, directory_.path().string());
      RunRecord record = run_at(i, "p" + std::to_string(process));
      record.id = make_run_id(random);
      catalog.add(record, true);
    }
  });
  EXPECT_EQ(open().count_runs(), size_t{kProcesses} * kRuns);
}

// --- with a repository

TEST_F(CatalogTest, ALostCatalogIsMadeAgainFromTheRepository) {
  test::SmallRepository small;
  std::vector<RunRecord> written;
  {
    Catalog catalog = open();
    for (int i = 0; i < 3; ++i) {
      written.push_back(record_run(*context_, &small.repository(), catalog, run_at(100 + i)));
    }
  }
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(file() + suffix);
  }
  Catalog catalog = open();
  EXPECT_EQ(catalog.count_runs(), 0U);
  EXPECT_EQ(sync_catalog(*context_, small.repository(), "main", catalog).loaded, 3U);
  const std::vector<RunRecord> again = catalog.runs({});
  ASSERT_EQ(again.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(encode_run_record(again[i]), encode_run_record(written[2 - i]));
  }
  EXPECT_EQ(sync_catalog(*context_, small.repository(), "main", catalog).loaded, 0U);
}

TEST_F(CatalogTest, ARunThatTheRepositoryDidNotTakeIsSentLater) {
  test::SmallRepository small;
  Catalog catalog = open();
  RunRecord failed = run_at(100);
  failed.outcome = RunOutcome::kFailed;
  record_run(*context_, nullptr, catalog, failed);
  EXPECT_TRUE(RunRecords(small.repository()).list(*context_).empty());
  catalog.clear();  // a rebuild must not lose what is nowhere else
  EXPECT_EQ(sync_catalog(*context_, small.repository(), "main", catalog).sent, 1U);
  const auto positions = RunRecords(small.repository()).list(*context_);
  ASSERT_EQ(positions.size(), 1U);
  EXPECT_EQ(RunRecords(small.repository()).load(*context_, positions[0]).outcome,
            RunOutcome::kFailed);
  EXPECT_EQ(sync_catalog(*context_, small.repository(), "main", catalog).sent, 0U);
}

// Nobody must be told that a run is kept for later where there is nothing to keep it in.
TEST_F(CatalogTest, WithoutACatalogARunThatCannotBeSentIsSaidToBeLost) {
  test::SmallRepository small;
  Catalog catalog = Catalog::in_memory();
  RunRecord wrong = run_at(100);
  wrong.id = "no id of a run";
  record_run(*context_, &small.repository(), catalog, wrong);
  ASSERT_EQ(warnings(), 1U);
  EXPECT_NE(std::get<Warning>(context_.events.events()[0]).hint.find("it is lost"),
            std::string::npos);
}

TEST_F(CatalogTest, AnInterruptedRunIsWrittenDown) {
  test::SmallRepository small;
  Catalog catalog = open();
  context_.stop.request_stop();
  record_run(*context_, &small.repository(), catalog, run_at(100));
  EXPECT_EQ(RunRecords(small.repository()).list(small.context()).size(), 1U);
  EXPECT_EQ(catalog.count_runs(), 1U);
}

TEST_F(CatalogTest, AFullDiskCostsAWarningAndNothingElse) {
  test::SmallRepository small;
  Catalog catalog = open();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{8192, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  RunRecord record = run_at(100);
  record.error = std::string(100'000, 'x');
  const RunRecord written = record_run(*context_, &small.repository(), catalog, record);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(warnings(), 1U);
  EXPECT_FALSE(catalog.contains(written.id));
  EXPECT_EQ(sync_catalog(*context_, small.repository(), "main", catalog).loaded, 1U)
      << "the repository has it";
}

TEST_F(CatalogTest, ADamagedRecordIsLeftOutAndTold) {
  test::SmallRepository small;
  Catalog catalog = open();
  Catalog before = Catalog::in_memory();
  const RunRecord bad = record_run(*context_, &small.repository(), before, run_at(100));
  record_run(*context_, &small.repository(), before, run_at(200));
  small.flip_byte({ObjectKind::kSalvor, "records/" + run_record_position(bad)}, 40);
  const SyncResult result = sync_catalog(*context_, small.repository(), "main", catalog);
  EXPECT_EQ(result.loaded, 1U);
  EXPECT_EQ(result.unreadable, std::vector<std::string>{run_record_position(bad)});
  EXPECT_EQ(warnings(), 1U);
}

// --- long histories

class LongHistoryTest : public CatalogTest {
 protected:
  static constexpr int kRecords = 650;
  static constexpr std::chrono::minutes kApart{30};

  // The newest began an hour ago.
  void write_history() {
    for (int i = 0; i < kRecords; ++i) {
      RunRecord record = run_at(0);
      record.started = std::chrono::system_clock::now() - std::chrono::hours(1) - i * kApart;
      record.finished = record.started + std::chrono::seconds(10);
      written_.insert(record.id);
      RunRecords(small_.repository()).store(*context_, record);
    }
  }
  std::set<std::string> known(Catalog& catalog) {
    const std::vector<std::string> all = ids(catalog.runs({}));
    return {all.begin(), all.end()};
  }
  uint64_t requests(RequestKind kind) {
    const uint64_t now = counts_.of(kind);
    return now - std::exchange(counted_[kind], now);
  }
  SyncResult sync(Catalog& catalog) {
    static_cast<void>(requests(RequestKind::kList));
    static_cast<void>(requests(RequestKind::kGet));
    return sync_catalog(*context_, small_.repository(), "main", catalog);
  }

  RequestCounts counts_;
  std::map<RequestKind, uint64_t> counted_;
  test::SmallRepository small_{2,
                               std::make_unique<CountingStorage>(make_memory_storage(), counts_)};
  std::set<std::string> written_;
};

TEST_F(LongHistoryTest, OnlyTheLastDaysAreLookedThroughAgain) {
  write_history();
  Catalog catalog = open();
  EXPECT_EQ(sync(catalog).loaded, size_t{kRecords});
  EXPECT_EQ(known(catalog), written_);
  RunRecord others = run_at(0);  // of another machine
  others.started = std::chrono::system_clock::now() - std::chrono::minutes(5);
  RunRecords(small_.repository()).store(*context_, others);
  EXPECT_EQ(sync(catalog).loaded, 1U);
  EXPECT_TRUE(catalog.contains(others.id));
  EXPECT_EQ(requests(RequestKind::kGet), 1U);
  EXPECT_LE(requests(RequestKind::kList), 4U) << "a day each, no listing of all";
}

TEST_F(LongHistoryTest, ALateRecordIsFoundWithinADay) {
  write_history();
  Catalog catalog = open();
  static_cast<void>(sync(catalog));
  RunRecord late = run_at(0);
  late.started = std::chrono::system_clock::now() - std::chrono::days(20);
  RunRecords(small_.repository()).store(*context_, late);
  static_cast<void>(sync(catalog));
  EXPECT_FALSE(catalog.contains(late.id)) << "then the following proves nothing";
  std::optional<SyncState> state = catalog.sync_state("main");
  ASSERT_TRUE(state);
  state->whole -= std::chrono::hours(25);
  catalog.set_sync_state("main", *state);
  EXPECT_EQ(sync(catalog).loaded, 1U);
  EXPECT_TRUE(catalog.contains(late.id));
}

TEST_F(LongHistoryTest, AnotherRepositoryOfTheSameNameIsReadWhole) {
  write_history();
  Catalog catalog = open();
  static_cast<void>(sync(catalog));
  RunRecord old = run_at(0);
  old.started = std::chrono::system_clock::now() - std::chrono::days(20);
  RunRecords(small_.repository()).store(*context_, old);
  std::optional<SyncState> state = catalog.sync_state("main");
  state->repository = std::string(64, 'f');
  catalog.set_sync_state("main", *state);
  EXPECT_EQ(sync(catalog).loaded, 1U);
  EXPECT_TRUE(catalog.contains(old.id));
}

TEST_F(LongHistoryTest, BundlesSaveANewMachineMostRequests) {
  write_history();
  Catalog catalog = open();
  static_cast<void>(sync(catalog));
  EXPECT_EQ(bundle_records(*context_, small_.repository(), catalog), 1U);
  EXPECT_EQ(bundle_records(*context_, small_.repository(), catalog), 0U) << "once is enough";
  RunRecord late = run_at(0);  // inside of the bundle's time, but not in it
  late.started = std::chrono::system_clock::now() - std::chrono::days(8);
  RunRecords(small_.repository()).store(*context_, late);
  written_.insert(late.id);

  Catalog fresh = Catalog::in_memory();
  EXPECT_EQ(sync(fresh).loaded, written_.size());
  EXPECT_EQ(known(fresh), written_);
  EXPECT_LE(requests(RequestKind::kGet), kRecords - kBundleSize + 1 + 1);
}

TEST_F(LongHistoryTest, ADamagedBundleCostsTimeOnly) {
  write_history();
  Catalog catalog = open();
  static_cast<void>(sync(catalog));
  static_cast<void>(bundle_records(*context_, small_.repository(), catalog));
  for (const RecordBundle& bundle : RunRecords(small_.repository()).list_all(*context_).bundles) {
    small_.flip_byte({ObjectKind::kSalvor, "records/" + bundle.position}, 40);
  }
  Catalog fresh = Catalog::in_memory();
  EXPECT_EQ(sync(fresh).loaded, size_t{kRecords});
  EXPECT_EQ(known(fresh), written_);
  EXPECT_EQ(warnings(), 0U) << "nothing is lost: each record is there by itself";
}

TEST_F(LongHistoryTest, YoungRecordsAreNotBundled) {
  std::vector<RunRecord> young;
  for (size_t i = 0; i < kBundleSize + 10; ++i) {
    young.push_back(run_at(0));
    young.back().started = std::chrono::system_clock::now() - std::chrono::hours(47);
    RunRecords(small_.repository()).store(*context_, young.back());
  }
  Catalog catalog = open();
  catalog.add(young, true);
  EXPECT_EQ(bundle_records(*context_, small_.repository(), catalog), 0U);
}

TEST_F(CatalogTest, WhatDoctorFoundOfAStorageIsKept) {
  {
    Catalog catalog = open();
    EXPECT_FALSE(catalog.seen_storage("main"));
    catalog.see_storage("main", {.at = at(100), .immutable = {}, .sentence = "cannot be told"});
    EXPECT_FALSE(catalog.seen_storage("main")->immutable);
    catalog.see_storage("main", {.at = at(200), .immutable = true, .sentence = "safe"});
  }
  Catalog catalog = open();
  catalog.clear();  // a rebuild reads repositories; this nobody can read there
  EXPECT_EQ(catalog.seen_storage("main")->at, at(200));
  EXPECT_EQ(catalog.seen_storage("main")->immutable, true);
  EXPECT_EQ(catalog.seen_storage("main")->sentence, "safe");
}

}  // namespace
}  // namespace salvor
