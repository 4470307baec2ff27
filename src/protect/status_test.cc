#include "protect/status.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "protect/run_facts.h"
#include "protect/status_sentence.h"

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + hours(12);

// A database that is backed up daily and proven weekly: an hour may be lost, fifteen minutes may
// pass.
Application application() {
  Application app{.name = "shop", .environment = "production"};
  app.repositories = {{.name = "main", .location = "/srv/backup"}};
  PolicySpec policy{.name = "standard", .schedule = "daily 02:00"};
  policy.verification.restore = "Sun 04:00";
  app.policies = {policy};
  app.sources = {
      {.name = "database", .kind = "postgres", .repository = "main", .policy = "standard"}};
  app.objectives = {{.rto = minutes(15), .rpo = hours(1)}};
  return app;
}

RunRecord run(RunKind kind, WallTime started, RunOutcome outcome = RunOutcome::kSucceeded) {
  RunRecord record;
  record.kind = kind;
  record.outcome = outcome;
  record.subject = "database";
  record.snapshot = "aaaa";
  record.started = started;
  record.finished = started + minutes(6) + seconds(12);
  return record;
}

// The good case: backed up last night, the log followed to 18 s ago, proven two days ago.
SourceFacts good_facts() {
  SourceFacts facts{.seen_at = kNow};
  facts.ranges = {{.snapshot = "aaaa",
                   .captured = kNow - hours(10),
                   .until = kNow - seconds(18),
                   .durable = kNow - hours(10) + minutes(5),
                   .open_ended = true,
                   .bytes = 1000}};
  RunRecord backup = run(RunKind::kBackup, kNow - hours(10));
  backup.captured = kNow - hours(10);
  RunRecord proof = run(RunKind::kVerify, kNow - hours(49));
  proof.read_bytes = 1000;
  facts.runs = {proof, backup};
  facts.places = {{.repository = "main", .kind = "local", .seen_at = kNow, .snapshots = {"aaaa"}}};
  return facts;
}

StatusReport assess(const SourceFacts& facts, const Application& app = application()) {
  return assess_status(app, {{"database", facts}}, {}, kNow);
}

std::string concerns(const StatusReport& report) {
  std::string all;
  for (const StoreStatus& store : report.stores) {
    for (const Concern& concern : store.concerns) {
      all += concern.what + "\n";
    }
  }
  for (const Concern& concern : report.concerns) {
    all += concern.what + "\n";
  }
  return all;
}

TEST(Status, ProvenWithinItsObjectives) {
  const StatusReport report = assess(good_facts());
  ASSERT_EQ(report.stores.size(), 1U);
  const StoreStatus& store = report.stores[0];
  EXPECT_EQ(report.state, Assurance::kProven) << concerns(report);
  EXPECT_EQ(concerns(report), "");
  EXPECT_EQ(store.exposure, seconds(18));
  EXPECT_EQ(report.common->time, kNow - seconds(18));
  EXPECT_EQ(store.verified_exposure, hours(10));
  EXPECT_TRUE(store.recovery_measured);
  EXPECT_DOUBLE_EQ(*store.recovery_seconds, 372);
  EXPECT_EQ(store.last_proof->at, kNow - hours(49) + minutes(6) + seconds(12));
  EXPECT_EQ(store.promises.proof_stands, hours(24 * 14)) << "twice the restore tests' interval";
  // The next Sunday, 04:00, and the next night, 02:00, UTC.
  EXPECT_EQ(store.promises.next_proof->at, kNow + hours(16));
  EXPECT_EQ(store.promises.next_backup->at, kNow + hours(14));
}

TEST(Status, NeverRestoredIsUnproven) {
  SourceFacts facts = good_facts();
  facts.runs.erase(facts.runs.begin());
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnproven);
  EXPECT_FALSE(report.stores[0].verified_exposure || report.proven_common || report.proven_at);
  ASSERT_FALSE(report.stores[0].concerns.empty());
  EXPECT_EQ(report.stores[0].concerns[0].next, "Run `salvor drill run`.");
}

TEST(Status, OldEvidenceIsUnknownNotGreen) {
  SourceFacts facts = good_facts();
  facts.runs[0].started = kNow - hours(24 * 14 + 1);
  facts.runs[0].finished = facts.runs[0].started + minutes(5);
  EXPECT_EQ(assess(facts).state, Assurance::kUnknown);
  facts.runs[0].finished = kNow - hours(24 * 14);
  facts.runs[0].started = facts.runs[0].finished - minutes(5);
  EXPECT_EQ(assess(facts).state, Assurance::kProven);
  Application strict = application();
  strict.policies[0].verification.proven_for = hours(24);
  EXPECT_EQ(assess(good_facts(), strict).state, Assurance::kUnknown);
}

TEST(Status, MoreLostThanPromisedIsBreached) {
  SourceFacts facts = good_facts();
  facts.ranges[0].until = kNow - hours(1) - seconds(1);
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kBreached);
  EXPECT_NE(concerns(report).find("1 h would be lost, the objective is 1 h"), std::string::npos)
      << concerns(report);
  facts.ranges[0].until = kNow - hours(1);
  EXPECT_EQ(assess(facts).state, Assurance::kProven) << "exactly met is met";
}

TEST(Status, SlowerThanPromisedIsBreachedAndAForecastIsUnproven) {
  SourceFacts facts = good_facts();
  facts.runs[0].finished = facts.runs[0].started + minutes(16);
  EXPECT_EQ(assess(facts).state, Assurance::kBreached);
  facts = good_facts();
  facts.ranges[0].bytes = 3000;  // three times what was measured: 18 min
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnproven);
  EXPECT_DOUBLE_EQ(report.stores[0].forecast->seconds, 1116);
  EXPECT_NE(concerns(report).find("18 min 36 s by the rates measured"), std::string::npos);
}

TEST(Status, AFailedProofIsBreachedUntilAnotherSucceeds) {
  SourceFacts facts = good_facts();
  RunRecord failed = run(RunKind::kVerify, kNow - hours(2), RunOutcome::kFailed);
  failed.error = "invalid page in block 7";
  facts.runs.push_back(failed);
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kBreached);
  EXPECT_NE(concerns(report).find("invalid page in block 7"), std::string::npos);
  facts.runs.push_back(run(RunKind::kVerify, kNow - hours(1)));
  EXPECT_EQ(assess(facts).state, Assurance::kProven);
}

// Restore tests take an older point now and then: that one is well says nothing of the newest.
TEST(Status, AProofOfAnOlderPointDoesNotMakeUpForTheNewest) {
  SourceFacts facts = good_facts();
  RecoveryRange older = facts.ranges[0];
  older.snapshot = "0000";
  older.captured = older.until = kNow - hours(34);
  facts.ranges.push_back(older);
  RunRecord failed = run(RunKind::kVerify, kNow - hours(2), RunOutcome::kFailed);
  failed.error = "invalid page in block 7";
  RunRecord passed = run(RunKind::kVerify, kNow - hours(1));
  passed.snapshot = "0000";
  facts.runs.push_back(failed);
  facts.runs.push_back(passed);
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kBreached);
  EXPECT_NE(concerns(report).find("its newest point failed"), std::string::npos);
  EXPECT_NE(concerns(report).find("invalid page in block 7"), std::string::npos);
}

TEST(Status, ADeadRepositoryIsUnknownWithWhatWasSeen) {
  SourceFacts facts = good_facts();
  facts.unreachable = "no route to host";
  facts.hint = "Look at the network.";
  facts.seen_at = kNow - hours(3);
  facts.ranges[0].until = kNow - hours(3);  // beyond the objective, by what was seen
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnknown);
  EXPECT_EQ(report.stores[0].newest, kNow - hours(3));
  EXPECT_EQ(report.stores[0].seen_at, kNow - hours(3));
  EXPECT_NE(concerns(report).find("no route to host"), std::string::npos);
}

TEST(Status, NoBackupIsBreachedAndNothingKnownUnknown) {
  EXPECT_EQ(assess(SourceFacts{.seen_at = kNow}).state, Assurance::kBreached);
  EXPECT_EQ(assess_status(application(), {}, {}, kNow).state, Assurance::kUnknown);
  EXPECT_EQ(assess_status(Application{}, {}, {}, kNow).state, Assurance::kUnknown);
  SourceFacts damaged = good_facts();
  damaged.ranges[0].damaged = true;
  EXPECT_EQ(assess(damaged).state, Assurance::kBreached);
}

// The backup read a sample of its own snapshot again, and it was not right.
TEST(Status, WhatItsOwnBackupFoundBadIsNotRecoverable) {
  SourceFacts facts = good_facts();
  RecoveryRange bad = facts.ranges[0];
  bad.snapshot = "bbbb";
  bad.captured = bad.until = kNow - seconds(5);
  bad.open_ended = false;
  facts.ranges.insert(facts.ranges.begin(), bad);
  RunRecord failed = run(RunKind::kBackup, kNow - seconds(5), RunOutcome::kFailed);
  failed.snapshot = "bbbb";
  failed.error = "sample read again: 1 of 20 blobs is damaged";
  facts.runs.push_back(failed);
  const StatusReport report = assess(facts);
  EXPECT_EQ(report.stores[0].newest, kNow - seconds(18)) << "of the one before";
  EXPECT_TRUE(report.stores[0].points[0].range.damaged);
  RunRecord proof = run(RunKind::kVerify, kNow - seconds(4));
  proof.snapshot = "bbbb";
  facts.runs.push_back(proof);
  EXPECT_EQ(assess(facts).stores[0].newest, kNow - seconds(5)) << "a restore found it right";
}

// With a clock that was a year ahead, backups that have ended would look new for a year.
TEST(Status, WhatIsDatedAheadIsNotKnown) {
  SourceFacts facts = good_facts();
  facts.ranges[0].captured = facts.ranges[0].until = kNow + hours(24 * 365);
  StatusReport report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnknown);
  EXPECT_NE(concerns(report).find("its newest point is dated 365 days ahead"), std::string::npos)
      << concerns(report);
  facts = good_facts();
  facts.runs[0].rto_seconds = 60;
  facts.runs[0].finished = kNow + hours(3);
  report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnknown);
  EXPECT_NE(concerns(report).find("its last proof is dated 3 h ahead"), std::string::npos);
  facts.runs[0].finished = kNow + minutes(5);
  facts.ranges[0].until = kNow + minutes(5);
  EXPECT_EQ(concerns(assess(facts)).find("ahead"), std::string::npos) << "clocks differ a little";
}

TEST(Status, FailedAndLateBackupsAreTold) {
  SourceFacts facts = good_facts();
  RunRecord failed = run(RunKind::kBackup, kNow - hours(1), RunOutcome::kFailed);
  failed.error = "connection refused";
  facts.runs.push_back(failed);
  EXPECT_NE(concerns(assess(facts)).find("the last backup failed 1 h ago: connection refused"),
            std::string::npos);
  facts = good_facts();
  facts.runs[1].started = kNow - hours(40);
  facts.runs[1].finished = kNow - hours(40);
  EXPECT_NE(concerns(assess(facts)).find("one was due 10 h ago"), std::string::npos)
      << concerns(assess(facts));
}

TEST(Status, WhatTheScheduleCannotKeepIsTold) {
  SourceFacts facts = good_facts();
  facts.ranges[0].open_ended = false;
  facts.ranges[0].until = facts.ranges[0].captured = kNow - minutes(30);
  const std::string told = concerns(assess(facts));
  EXPECT_NE(told.find("the schedule allows 24 h 6 min to be lost at worst"), std::string::npos)
      << told;
}

TEST(Status, CopiesAreCountedOfTheNewestPoint) {
  SourceFacts facts = good_facts();
  facts.places.push_back({.repository = "far",
                          .kind = "s3",
                          .offsite = true,
                          .immutable = true,
                          .seen_at = kNow,
                          .snapshots = {"aaaa"}});
  StatusReport report = assess(facts);
  EXPECT_EQ(report.stores[0].copies.copies, 3U);
  EXPECT_TRUE(report.stores[0].copies.rule_met());
  EXPECT_EQ(report.stores[0].points[0].places, 2U);
  facts.places[1].reachable = false;
  EXPECT_FALSE(assess(facts).stores[0].copies.rule_met()) << "what was seen once is not known now";
  facts.places[1].reachable = true;
  facts.places[1].snapshots = {"older"};
  report = assess(facts);
  EXPECT_EQ(report.stores[0].copies.copies, 2U);
  EXPECT_EQ(report.stores[0].copies.offsite, 0U);
  EXPECT_FALSE(report.stores[0].copies.rule_met());
  facts.places[1].reachable = false;
  facts.places[1].errors = 2;
  report = assess(facts);
  EXPECT_EQ(report.state, Assurance::kUnknown) << "a check found errors";
  EXPECT_NE(concerns(report).find("cannot be looked at"), std::string::npos);
}

TEST(Status, TheWholeIsAsGoodAsItsWorstSource) {
  Application app = application();
  app.sources.push_back(
      {.name = "uploads", .kind = "files", .repository = "main", .policy = "standard"});
  SourceFacts uploads = good_facts();
  uploads.ranges[0].captured = uploads.ranges[0].until = kNow - minutes(50);
  uploads.runs.erase(uploads.runs.begin());
  const StatusReport report =
      assess_status(app, {{"database", good_facts()}, {"uploads", uploads}}, {}, kNow);
  EXPECT_EQ(report.stores[0].state, Assurance::kProven);
  EXPECT_EQ(report.state, Assurance::kUnproven);
  EXPECT_EQ(report.common->time, kNow - minutes(50));
  EXPECT_FALSE(report.proven_at) << "one source was never proven";
}

// Two sources, each with a proof of its own; what is said of the whole is what a drill of both
// took.
class WholeProof : public ::testing::Test {
 protected:
  WholeProof() {
    app_.sources.push_back(
        {.name = "uploads", .kind = "files", .repository = "main", .policy = "standard"});
  }
  static RunRecord drill(WallTime finished, double took, const std::vector<std::string>& sources) {
    RunRecord record = run(RunKind::kDrill, finished - hours(1));
    record.finished = finished;
    record.rto_seconds = took;
    record.subject = "shop";
    record.snapshot.clear();
    for (const std::string& source : sources) {
      record.facts.emplace_back(kSourceFact, source);
    }
    return record;
  }
  [[nodiscard]] StatusReport report(const std::vector<RunRecord>& drills) const {
    return assess_status(app_, {{"database", good_facts()}, {"uploads", good_facts()}}, drills,
                         kNow);
  }
  Application app_ = application();
  const RunRecord full_ = drill(kNow - hours(2), 3600, {"uploads", "database"});
};

TEST_F(WholeProof, IsTheLastDrillOfAllSources) {
  EXPECT_DOUBLE_EQ(*report({}).recovery_seconds, 372);
  EXPECT_DOUBLE_EQ(*report({full_}).recovery_seconds, 3600);
  EXPECT_EQ(report({full_}).proven_at, full_.finished);
}

TEST_F(WholeProof, ADrillOfOneSourceIsNotOfTheWhole) {
  const RunRecord partial = drill(kNow - minutes(1), 5, {"uploads"});
  const RunRecord untold = drill(kNow - minutes(1), 5, {});  // of before, or a source's own record
  const RunRecord same_time = drill(full_.finished, 5, {});
  for (const auto& drills : {std::vector{full_, partial}, std::vector{untold, full_},
                             std::vector{full_, same_time}, std::vector{same_time, full_}}) {
    EXPECT_DOUBLE_EQ(*report(drills).recovery_seconds, 3600);
    EXPECT_EQ(report(drills).proven_at, full_.finished);
  }
  EXPECT_DOUBLE_EQ(*report({partial}).recovery_seconds, 372);
}

TEST_F(WholeProof, AMissedObjectiveIsABreachWithItsTime) {
  RunRecord slow = full_;
  slow.outcome = RunOutcome::kIncomplete;
  EXPECT_DOUBLE_EQ(*report({slow}).recovery_seconds, 372) << "nobody knows what was missing";
  set_fact(slow, kProofFact, kProofPassed);
  const StatusReport found = report({slow});
  EXPECT_DOUBLE_EQ(*found.recovery_seconds, 3600);
  EXPECT_EQ(found.state, Assurance::kBreached);
  EXPECT_NE(concerns(found).find("the last recovery took 1 h, the objective is 15 min"),
            std::string::npos)
      << concerns(found);
}

TEST(Promises, AnObjectiveOfTheSourceGoesBeforeAnyAndZeroIsNotABackups) {
  Application app = application();
  app.objectives = {{.scenario = "pod failure", .rto = minutes(2), .rpo = seconds(0)},
                    {.scenario = "corruption", .rto = hours(2), .rpo = minutes(15)},
                    {.scenario = "region", .rto = hours(4), .rpo = minutes(30)}};
  Promises promises = promises_of(app, app.sources[0], kNow);
  EXPECT_EQ(promises.rpo, minutes(15));
  EXPECT_EQ(promises.rpo_scenario, "corruption");
  app.objectives.push_back({.rto = hours(3), .rpo = hours(1)});
  EXPECT_EQ(promises_of(app, app.sources[0], kNow).rpo, hours(1));
  app.objectives.push_back({.source = "database", .rto = hours(3), .rpo = minutes(5)});
  EXPECT_EQ(promises_of(app, app.sources[0], kNow).rpo, minutes(5));
  EXPECT_EQ(promises_of(app, kNow).rpo, hours(1)) << "that of a source is not the whole's";
}

TEST(StatusSentence, SaysItInOne) {
  ::setenv("TZ", "Europe/Berlin", 1);
  ::tzset();
  EXPECT_EQ(status_sentence(assess(good_facts())),
            "Recoverable to 12:59:42 CET, 18 s ago; last proven 2 days ago in 6 min 12 s "
            "(objective 15 min).");
  SourceFacts facts = good_facts();
  facts.runs.clear();
  EXPECT_EQ(status_sentence(assess(facts)),
            "Recoverable to 12:59:42 CET, 18 s ago; never proven by a restore.");
  facts.ranges[0].until = facts.ranges[0].captured = kNow - hours(30);
  EXPECT_EQ(status_sentence(assess(facts)),
            "Recoverable only to 2026-11-20 07:00:00 CET, 30 h ago; never proven by a restore.");
  facts.unreachable = "away";
  facts.seen_at = kNow - hours(2);
  EXPECT_EQ(status_sentence(assess(facts)),
            "Not known whether database can be recovered right now: when last seen, 2 h ago, "
            "recoverable to 2026-11-20 07:00:00 CET, 30 h ago.");
  EXPECT_EQ(status_sentence(assess(SourceFacts{.seen_at = kNow})),
            "Nothing can be recovered: there is no usable backup.");
  EXPECT_EQ(status_sentence(assess(SourceFacts{.seen_at = {}, .unreachable = "away"})),
            "Not known whether database can be recovered right now, and this machine has never "
            "seen a recovery point of it.");
  Application two = application();
  two.sources.push_back({.name = "uploads", .kind = "files", .repository = "main"});
  EXPECT_EQ(status_sentence(assess_status(
                two, {{"database", facts}, {"uploads", SourceFacts{.seen_at = kNow}}}, {}, kNow)),
            "Not known whether database can be recovered right now: when last seen, 2 h ago, "
            "there was no usable backup of uploads.");
  EXPECT_EQ(status_sentence(assess_status(Application{}, {}, {}, kNow)),
            "Nothing is protected: the configuration has no source.");
  ::unsetenv("TZ");
  ::tzset();
}

// At noon: the hourly backups begin again at 22:00.
TEST(Status, NoBackupIsLateWhileTheWindowIsClosed) {
  Application app = application();
  app.policies[0].schedule = "hourly";
  app.policies[0].window = TimeWindow{hours(22), hours(6)};
  SourceFacts facts = good_facts();
  facts.runs[1].started = kNow - hours(7);
  facts.runs[1].finished = facts.runs[1].started + minutes(5);
  facts.runs[1].captured = facts.runs[1].started;
  const auto store = [&] { return assess_status(app, {{"database", facts}}, {}, kNow).stores[0]; };
  EXPECT_EQ(store().worst_case, hours(17) + minutes(5)) << "from 05:00 to 22:00";
  EXPECT_EQ(store().promises.next_backup->at, kNow + hours(10));
  for (const Concern& concern : store().concerns) {
    EXPECT_EQ(concern.what.find("no backup since"), std::string::npos) << concern.what;
  }
  facts.runs[1].started = facts.runs[1].finished = kNow - hours(9);
  EXPECT_TRUE(std::ranges::any_of(store().concerns, [](const Concern& concern) {
    return concern.what.find("although one was due 7 h ago") != std::string::npos;
  }));
}

}  // namespace
}  // namespace salvor
