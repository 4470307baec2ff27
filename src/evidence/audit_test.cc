#include <csignal>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/resource.h>

#include "evidence/audit_queue.h"
#include "evidence/audit_trail.h"
#include "evidence/audit_verify.h"
#include "model/utc_text.h"
#include "storage/decorators/fault_storage.h"
#include "support/crash_play.h"

namespace salvor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

AuditEvent event(std::string subject) {
  return {.action = "backup",
          .phase = {},
          .outcome = "succeeded",
          .subject = std::move(subject),
          .text = "backup of it",
          .run = {},
          .details = {{"snapshot", "1a2b"}}};
}

class Trail : public ::testing::Test {
 protected:
  [[nodiscard]] AuditTrail trail(const std::string& writer = "alpha",
                                 const std::string& state = "state") {
    return {repository_.repository(), options(writer, state)};
  }
  [[nodiscard]] AuditOptions options(const std::string& writer, const std::string& state) {
    return {.state_directory = directory_.path().string() + "/" + state,
            .writer = writer,
            .who = "ops@" + writer,
            .program = "salvor 0"};
  }
  [[nodiscard]] std::vector<TrustedKey> keys() {
    std::vector<TrustedKey> keys;
    for (const EvidenceKey& key : EvidenceKeys(repository_.repository(), {}).load(context_)) {
      keys.push_back(key.trusted());
    }
    return keys;
  }
  [[nodiscard]] AuditReport verify(const std::vector<WriterHead>& known = {}) {
    return verify_audit(load_audit_records(context_, repository_.repository()), keys(), known);
  }
  [[nodiscard]] static std::string problems(const AuditReport& report) {
    std::string all;
    for (const AuditFinding& finding : report.findings) {
      all += finding.is_problem ? finding.writer + " " + std::to_string(finding.sequence) + ": " +
                                      finding.text + "\n"
                                : "";
    }
    return all;
  }
  [[nodiscard]] static ObjectName object(const std::string& writer, uint64_t sequence) {
    return {ObjectKind::kSalvor, "audit/" + writer + "/" + audit_position(sequence)};
  }
  // What somebody with the repository's password can do.
  void replace(const std::string& writer, uint64_t sequence, const std::string& text) {
    repository_.storage().remove(context_, object(writer, sequence));
    (void)Journal::at(repository_.repository(), "audit/" + writer + "/")
        .put(context_, audit_position(sequence), as_bytes(text));
  }
  [[nodiscard]] std::string text(const std::string& writer, uint64_t sequence) {
    const Buffer content = Journal::at(repository_.repository(), "audit/" + writer + "/")
                               .get(context_, audit_position(sequence));
    return std::string(as_text(content.view()));
  }
  void fill(int count, const std::string& writer = "alpha") {
    AuditTrail one = trail(writer);
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(one.record(context_, event(std::to_string(i))), AuditReceipt::kStored);
    }
  }

  test::TempDirectory directory_;
  FaultStorage faults_{make_memory_storage()};
  test::SmallRepository repository_{2, borrow_storage(faults_)};
  const Context context_ = repository_.context();
};

TEST_F(Trail, SeveralHostsWriteAndOneViewShowsAll) {
  fill(3, "alpha");
  fill(2, "beta");
  fill(1, "alpha");  // a new process
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  ASSERT_THAT(report.records, SizeIs(6));
  EXPECT_EQ(report.records[0].record.event.details, event("0").details);
  EXPECT_EQ(report.records[5].record.sequence, 4U);
  EXPECT_EQ(report.records[5].record.who, "ops@alpha");
  ASSERT_THAT(report.heads, SizeIs(2));
  EXPECT_EQ(report.heads[0].head.sequence, 4U);
  for (const VerifiedAuditRecord& record : report.records) {
    EXPECT_EQ(record.key_id, keys()[0].key.id());
  }
}

TEST_F(Trail, ARecordIsOnePut) {
  fill(1);
  AuditTrail one = trail();
  (void)one.record(context_, event("key"));
  const uint64_t before = faults_.calls(StorageCall::kPut);
  const uint64_t reads = faults_.calls(StorageCall::kGet);
  (void)one.record(context_, event("counted"));
  EXPECT_EQ(faults_.calls(StorageCall::kPut), before + 1);
  EXPECT_EQ(faults_.calls(StorageCall::kGet), reads);
}

TEST_F(Trail, EveryManipulationIsFound) {
  fill(6);
  const std::string third = text("alpha", 3);
  const std::string fourth = text("alpha", 4);
  // Removed in the middle.
  repository_.storage().remove(context_, object("alpha", 3));
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 3: the record is missing"));
  replace("alpha", 3, third);
  EXPECT_EQ(problems(verify()), "");
  // Two exchanged.
  replace("alpha", 3, fourth);
  replace("alpha", 4, third);
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 3: it is record 4 of alpha"));
  replace("alpha", 3, third);
  replace("alpha", 4, fourth);
  // Rewritten, without the key.
  AuditRecord record = decode_audit_record(third).record;
  record.event.outcome = "failed";
  replace("alpha", 3, encode_audit_record(record, nullptr));
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 3: it is not signed, although"));
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 4: it does not follow"));
  // With another key.
  SeededRandom random(9);
  const SigningKey other = SigningKey::generate(random);
  replace("alpha", 3, encode_audit_record(record, &other));
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 3: the record is not authentic"));
  // A changed byte in the storage.
  replace("alpha", 3, third);
  repository_.flip_byte(object("alpha", 5), 40);
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 5: the record cannot be read"));
}

// Whoever can write to the repository, without the key: every record anew, none signed.
TEST_F(Trail, ATrailThatNobodyHasSignedIsNotWhole) {
  fill(4);
  const std::vector<TrustedKey> trusted = keys();
  const auto forge = [&](const std::string& writer) {
    std::vector<StoredAuditRecord> forged;
    std::string previous;
    for (uint64_t i = 1; i <= 4; ++i) {
      AuditRecord record = decode_audit_record(text("alpha", i)).record;
      record.writer = writer;
      record.event.outcome = "forged";
      record.previous = previous;
      forged.push_back({writer, i, encode_audit_record(record, nullptr), {}});
      previous = audit_hash(forged.back().text);
    }
    return forged;
  };
  for (const auto& with : {trusted, std::vector<TrustedKey>{}}) {
    const AuditReport report = verify_audit(forge("alpha"), with, {});
    EXPECT_FALSE(report.sound());
    EXPECT_THAT(problems(report), HasSubstr("alpha 1: 4 records from here on are not signed"));
  }
  // Of a writer that was never there, beside a trail that is whole.
  std::vector<StoredAuditRecord> both = load_audit_records(context_, repository_.repository());
  for (StoredAuditRecord& record : forge("beta")) {
    both.push_back(std::move(record));
  }
  EXPECT_THAT(problems(verify_audit(both, trusted, {})), HasSubstr("beta 1: 4 records"));
  // A machine that is known to have no key.
  const std::vector<std::string> without{"beta"};
  EXPECT_EQ(problems(verify_audit(both, trusted, {}, without)), "");
  EXPECT_FALSE(verify_audit(forge("alpha"), trusted, {}, without).sound());
}

// The first records of a repository, while its key could not be made.
TEST_F(Trail, WhatASignedRecordQuotesNeedsNoSignature) {
  std::vector<StoredAuditRecord> records;
  const SigningKey key = EvidenceKeys(repository_.repository(), {}).signer(context_, "a@b");
  std::string previous;
  const auto add = [&](uint64_t sequence, const SigningKey* with) {
    const AuditRecord record{.writer = "alpha",
                             .sequence = sequence,
                             .previous = previous,
                             .time = context_.clock.now(),
                             .who = "a@b",
                             .program = "salvor 0",
                             .event = event("one")};
    records.push_back({"alpha", sequence, encode_audit_record(record, with), {}});
    previous = audit_hash(records.back().text);
  };
  add(1, nullptr);
  add(2, nullptr);
  EXPECT_FALSE(verify_audit(records, keys(), {}).sound());
  add(3, &key);
  const AuditReport report = verify_audit(records, keys(), {});
  EXPECT_EQ(problems(report), "");
  EXPECT_THAT(report.findings, SizeIs(2)) << "things to know";
  add(4, nullptr);
  EXPECT_THAT(problems(verify_audit(records, keys(), {})), HasSubstr("alpha 4: it is not signed"));
}

TEST_F(Trail, EvenWithTheKeyThePastCannotBeRewrittenAlone) {
  fill(4);
  const SigningKey key = EvidenceKeys(repository_.repository(), {}).signer(context_, "thief@here");
  AuditRecord record = decode_audit_record(text("alpha", 2)).record;
  record.event.outcome = "failed";
  replace("alpha", 2, encode_audit_record(record, &key));
  EXPECT_THAT(problems(verify()), HasSubstr("alpha 3: it does not follow"));
}

TEST_F(Trail, ACutOffEndIsFoundByAHeadKeptElsewhere) {
  fill(5);
  const AuditReport good = verify();
  const SigningKey key = EvidenceKeys(repository_.repository(), {}).signer(context_, "a@b");
  const std::string kept = encode_audit_heads(
      {repository_.repository().config().id, context_.clock.now(), good.heads}, key);
  repository_.storage().remove(context_, object("alpha", 5));
  EXPECT_EQ(problems(verify()), "");  // nothing in it shows
  const AuditHeads heads = decode_audit_heads(kept, keys());
  EXPECT_THAT(problems(verify(heads.heads)), HasSubstr("knows record 5, which is not there"));
  // So is a whole chain, and a trail that was written anew.
  for (uint64_t i = 1; i <= 4; ++i) {
    repository_.storage().remove(context_, object("alpha", i));
  }
  EXPECT_THAT(problems(verify(heads.heads)), HasSubstr("cut off or removed"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(trail("alpha", "new").record(context_, event("forged")), AuditReceipt::kStored);
  }
  EXPECT_THAT(problems(verify(heads.heads)), HasSubstr("it was exchanged"));
  std::string forged = kept;
  forged[40] = forged[40] == 'A' ? 'B' : 'A';
  EXPECT_THROW((void)decode_audit_heads(forged, keys()), Error);
}

TEST_F(Trail, ACutOffEndIsFoundByAHeadThatAnotherHostRecorded) {
  fill(3, "alpha");
  AuditEvent checkpoint = event("heads");
  for (const WriterHead& head : verify().heads) {
    checkpoint.details.emplace_back(std::string(kHeadDetail) + head.writer,
                                    std::to_string(head.head.sequence) + " " + head.head.hash);
  }
  EXPECT_EQ(trail("beta").record(context_, checkpoint), AuditReceipt::kStored);
  EXPECT_EQ(problems(verify()), "");
  repository_.storage().remove(context_, object("alpha", 3));
  EXPECT_THAT(problems(verify()), HasSubstr("record 1 of beta knows record 3"));
}

TEST_F(Trail, AnOutageSpoolsAndTheNextCommandDelivers) {
  fill(2);
  faults_.add({.call = StorageCall::kPut, .kind = ObjectKind::kSalvor, .nth = 1, .count = 3});
  AuditTrail one = trail();
  EXPECT_EQ(one.record(context_, event("a")), AuditReceipt::kSpooled);
  EXPECT_EQ(one.record(context_, event("b")), AuditReceipt::kSpooled);
  EXPECT_EQ(trail().record_before(context_, event("c")), AuditReceipt::kSpooled);
  EXPECT_THAT(verify().records, SizeIs(2));
  EXPECT_EQ(trail().record(context_, event("d")), AuditReceipt::kStored);
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  ASSERT_THAT(report.records, SizeIs(6));
  EXPECT_EQ(report.records[5].record.event.subject, "d");
  EXPECT_EQ(report.records[2].record.event.subject, "a");
}

TEST_F(Trail, ALostReplyIsNoSecondRecord) {
  fill(1);
  faults_.add(
      {.call = StorageCall::kPut, .kind = ObjectKind::kSalvor, .effect = FaultEffect::kLoseReply});
  EXPECT_EQ(trail().record(context_, event("a")), AuditReceipt::kSpooled);
  EXPECT_EQ(trail().record(context_, event("b")), AuditReceipt::kStored);
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  EXPECT_THAT(report.records, SizeIs(3));
}

TEST_F(Trail, LosingTheLocalStateIsHarmless) {
  fill(5);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(trail("alpha", "other" + std::to_string(i)).record(context_, event("x")),
              AuditReceipt::kStored);
  }
  EXPECT_EQ(problems(verify()), "");
  EXPECT_THAT(verify().records, SizeIs(8));
  // The first machine's state is now behind: as a restored virtual machine's.
  EXPECT_EQ(trail().record(context_, event("y")), AuditReceipt::kStored);
  EXPECT_EQ(problems(verify()), "");
  EXPECT_THAT(verify().records, SizeIs(9));
}

TEST_F(Trail, WhatWasSpooledBlindFollowsTheChain) {
  fill(3);
  // No state, and the storage is away: the number can only be guessed.
  faults_.add({.call = {}, .kind = ObjectKind::kSalvor, .nth = 1, .count = Fault::kForever});
  AuditTrail blind = trail("alpha", "fresh");
  EXPECT_EQ(blind.record(context_, event("a")), AuditReceipt::kSpooled);
  EXPECT_EQ(blind.record(context_, event("b")), AuditReceipt::kSpooled);
  faults_.clear();
  EXPECT_EQ(trail("alpha", "fresh").record(context_, event("c")), AuditReceipt::kStored);
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  ASSERT_THAT(report.records, SizeIs(6));
  EXPECT_EQ(report.records[3].record.event.subject, "a");
  EXPECT_EQ(report.records[5].record.event.subject, "c");
}

// Nothing can be read either, not even the key: no record is left without a signature by that.
TEST_F(Trail, WhatAnOutageLeftUnsignedIsSignedAtDelivery) {
  fill(2);
  faults_.add({.call = {}, .kind = ObjectKind::kSalvor, .nth = 1, .count = Fault::kForever});
  EXPECT_EQ(trail().record(context_, event("a")), AuditReceipt::kSpooled);
  EXPECT_EQ(trail().record_before(context_, event("b")), AuditReceipt::kSpooled);
  faults_.clear();
  EXPECT_EQ(trail().record(context_, event("c")), AuditReceipt::kStored);
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  EXPECT_THAT(report.findings, IsEmpty());
  ASSERT_THAT(report.records, SizeIs(5));
  EXPECT_EQ(report.records[2].record.event.subject, "a");
}

TEST_F(Trail, AFullDiskKeepsNoRecordFromTheRepository) {
  fill(1);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  AuditReceipt receipt = AuditReceipt::kLost;
  EXPECT_NO_THROW(receipt = trail().record_before(context_, event("a")));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(receipt, AuditReceipt::kStored);
  fill(1);
  EXPECT_EQ(problems(verify()), "");
  EXPECT_THAT(verify().records, SizeIs(3));
}

// The first key of a repository is made when it can be: what happened before is signed with it.
TEST_F(Trail, WhatHappenedBeforeTheKeyWasMadeIsSignedAsOfItsDelivery) {
  struct Later final : Clock {
    [[nodiscard]] WallTime now() const override { return std::chrono::system_clock::now() + by; }
    [[nodiscard]] MonotonicTime monotonic() const override {
      return std::chrono::steady_clock::now();
    }
    std::chrono::hours by{0};
  } clock;
  const Context context{context_.stop, context_.events, clock, context_.random};
  const std::string happened = utc_text(clock.now());
  faults_.add({.call = {}, .kind = ObjectKind::kSalvor, .nth = 1, .count = Fault::kForever});
  EXPECT_EQ(trail().record(context, event("a")), AuditReceipt::kSpooled);
  faults_.clear();
  clock.by = std::chrono::hours(1);
  EXPECT_EQ(trail().record(context, event("b")), AuditReceipt::kStored);
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  ASSERT_THAT(report.records, SizeIs(2));
  for (const VerifiedAuditRecord& one : report.records) {
    EXPECT_FALSE(one.key_id.empty());
    const auto& [name, value] = one.record.event.details.back();
    if (one.record.sequence == 1) {
      EXPECT_EQ(name, kHappenedDetail);
      EXPECT_GE(value, happened);
      EXPECT_LT(value, utc_text(clock.now() - std::chrono::minutes(30)));
    } else {
      EXPECT_EQ(one.record.event.details, event("b").details);
    }
  }
}

TEST_F(Trail, WithoutALocalDirectoryTheRepositoryMustDo) {
  std::ofstream(directory_.path().string() + "/file") << "x";
  EXPECT_EQ(trail("alpha", "file/below").record(context_, event("a")), AuditReceipt::kStored);
  EXPECT_EQ(trail("alpha", "file/below").record(context_, event("b")), AuditReceipt::kStored);
  EXPECT_EQ(problems(verify()), "");
  faults_.add({.call = {}, .kind = ObjectKind::kSalvor, .nth = 1, .count = Fault::kForever});
  // Nowhere to keep it: a backup goes on, a restore does not begin.
  EXPECT_EQ(trail("alpha", "file/below").record(context_, event("c")), AuditReceipt::kLost);
  EXPECT_THROW((void)trail("alpha", "file/below").record_before(context_, event("d")), Error);
}

TEST_F(Trail, AnExportIsVerifiedWithoutTheRepository) {
  fill(3, "alpha");
  fill(2, "beta");
  std::string all;
  for (const StoredAuditRecord& record : load_audit_records(context_, repository_.repository())) {
    all += record.text;
  }
  const std::vector<TrustedKey> trusted = keys();
  EXPECT_EQ(problems(verify_audit(parse_audit_export(all), trusted, {})), "");
  const size_t second = all.find('\n') + 1;
  const std::string cut = all.substr(0, second) + all.substr(all.find('\n', second) + 1);
  EXPECT_THAT(problems(verify_audit(parse_audit_export(cut), trusted, {})),
              HasSubstr("alpha 2: the record is missing"));
  EXPECT_THROW((void)parse_audit_export(all + "{}"), Error);
}

TEST(AuditNames, AreFitForObjects) {
  EXPECT_EQ(audit_writer_name("backup-1.example.com"), "backup-1.example.com");
  EXPECT_EQ(audit_writer_name("a/../b c"), "a_.._b_c");
  EXPECT_EQ(audit_writer_name(""), "host_");
  EXPECT_EQ(audit_writer_name(".hidden"), "host_.hidden");
  for (const char* odd : {"", "..", "x-tmp-123", "ü"}) {
    EXPECT_TRUE(is_object_name(ObjectKind::kSalvor, "audit/" + audit_writer_name(odd) + "/1"))
        << odd;
  }
}

// A machine that dies at any storage call, with its local disk as it was at the start (everything
// there lost) or kept: no record that was reported as stored is missing, and the chain is whole
// after the next command.
class AuditCrashes : public test::CrashPlay {};

TEST_F(AuditCrashes, NoRecordThatWasStoredIsLostAndTheChainGoesOn) {
  const test::TempDirectory directory;
  const auto options = [&](const std::string& state) {
    return AuditOptions{.state_directory = directory.path().string() + "/" + state,
                        .writer = "alpha",
                        .who = "a@b",
                        .program = "salvor"};
  };
  int round = 0;
  play(
      [&](Repository& repository) {
        AuditTrail trail(repository, options("first"));
        for (int i = 0; i < 3; ++i) {
          ASSERT_EQ(trail.record(*context_, event(std::to_string(i))), AuditReceipt::kStored);
          recording_.mark("stored " + std::to_string(i));
        }
      },
      [&](const Crash& crash, Repository& repository) {
        AuditTrail trail(repository, options("lost" + std::to_string(++round)));
        ASSERT_EQ(trail.record(*context_, event("after")), AuditReceipt::kStored);
        std::vector<TrustedKey> keys;
        for (const EvidenceKey& key : EvidenceKeys(repository, {}).load(*context_)) {
          keys.push_back(key.trusted());
        }
        const AuditReport report =
            verify_audit(load_audit_records(*context_, repository), keys, {});
        EXPECT_TRUE(report.sound());
        for (int i = 0; i < 3; ++i) {
          const bool there = std::any_of(
              report.records.begin(), report.records.end(),
              [&](const auto& record) { return record.record.event.subject == std::to_string(i); });
          EXPECT_TRUE(there || !crash.has_mark("stored " + std::to_string(i)));
        }
      });
}

// The same with the local disk kept, and a storage that fails or loses its reply at any call: every
// record is there once, in order, as soon as the storage works again.
TEST(AuditFaults, WhateverCallFailsNoRecordIsLostOrDoubled) {
  for (const FaultEffect effect : {FaultEffect::kFailBefore, FaultEffect::kLoseReply}) {
    for (uint64_t nth = 1; nth <= 12; ++nth) {
      SCOPED_TRACE(nth);
      const test::TempDirectory directory;
      FaultStorage faults{make_memory_storage()};
      test::SmallRepository repository{2, borrow_storage(faults)};
      const Context context = repository.context();
      const auto record = [&](const std::string& subject) {
        AuditTrail trail(repository.repository(), {.state_directory = directory.path().string(),
                                                   .writer = "alpha",
                                                   .who = "a@b",
                                                   .program = "salvor"});
        return trail.record(context, event(subject));
      };
      faults.add(
          {.call = {}, .kind = ObjectKind::kSalvor, .nth = nth, .count = 2, .effect = effect});
      for (const char* subject : {"a", "b", "c"}) {
        EXPECT_NE(record(subject), AuditReceipt::kLost);
      }
      faults.clear();
      EXPECT_EQ(record("d"), AuditReceipt::kStored);
      std::vector<TrustedKey> keys;
      for (const EvidenceKey& key : EvidenceKeys(repository.repository(), {}).load(context)) {
        keys.push_back(key.trusted());
      }
      const AuditReport report =
          verify_audit(load_audit_records(context, repository.repository()), keys, {});
      std::string order;
      for (const VerifiedAuditRecord& one : report.records) {
        order += one.record.event.subject;
      }
      EXPECT_EQ(order, "abcd");
      // What was stored while the key could not be read is not signed.
      for (const AuditFinding& finding : report.findings) {
        EXPECT_THAT(finding.text, HasSubstr("not signed"));
      }
    }
  }
}

// --- the queue: what happens while the repository is not open

class Queue : public Trail {
 protected:
  [[nodiscard]] AuditQueue queue() { return AuditQueue(options("alpha", "state")); }
  [[nodiscard]] std::vector<std::string> subjects() {
    std::vector<std::string> all;
    for (const VerifiedAuditRecord& one : verify().records) {
      all.push_back(one.record.event.subject);
    }
    return all;
  }
};

TEST_F(Queue, WhatWasNotedIsDeliveredInItsOrderByAnotherProcess) {
  const std::string before = utc_text(context_.clock.now());
  {
    AuditQueue first = queue();
    first.note(context_, "main", event("one"));
    first.note(context_, "main", event("two"));
    first.note(context_, "offsite", event("of another repository"));
  }
  const std::string after = utc_text(context_.clock.now());
  fill(1);  // another command was recorded meanwhile
  AuditQueue second = queue();
  EXPECT_EQ(second.waiting("main"), 2U);
  EXPECT_EQ(second.deliver(context_, "main", repository_.repository()), 2U);
  EXPECT_EQ(second.waiting("main"), 0U);
  EXPECT_EQ(second.waiting("offsite"), 1U);
  EXPECT_EQ(second.deliver(context_, "main", repository_.repository()), 0U) << "once";
  const AuditReport report = verify();
  EXPECT_EQ(problems(report), "");
  EXPECT_THAT(subjects(), ::testing::UnorderedElementsAre("0", "one", "two"));
  for (const VerifiedAuditRecord& one : report.records) {
    EXPECT_FALSE(one.key_id.empty()) << "signed when it was delivered";
    if (one.record.event.subject == "one") {
      ASSERT_EQ(one.record.event.details.back().first, kHappenedDetail);
      EXPECT_GE(one.record.event.details.back().second, before);
      EXPECT_LE(one.record.event.details.back().second, after);
    }
  }
}

TEST_F(Queue, WithoutADiskItIsKeptInMemoryAndSaidSo) {
  std::ofstream(directory_.path() / "file") << "no directory";
  AuditQueue one(options("alpha", "file"));
  one.note(context_, "main", event("one"));
  EXPECT_EQ(one.waiting("main"), 1U);
  EXPECT_EQ(one.deliver(context_, "main", repository_.repository()), 1U);
  EXPECT_THAT(subjects(), ::testing::ElementsAre("one"));
}

TEST_F(Queue, ARepositorysNameCannotLeadOutOfTheDirectory) {
  AuditQueue one = queue();
  one.note(context_, "../../../escaped", event("one"));
  EXPECT_EQ(one.waiting("../../../escaped"), 1U);
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "escaped"));
  EXPECT_FALSE(std::filesystem::exists(directory_.path().parent_path() / "escaped"));
}

}  // namespace
}  // namespace salvor
