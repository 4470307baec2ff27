#include <fstream>

#include <gmock/gmock.h>

#include "evidence/dsse.h"
#include "evidence/evidence_keys.h"
#include "evidence/evidence_store.h"
#include "evidence/json.h"
#include "evidence/statement.h"
#include "evidence/test_reports.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string reason(const std::function<void()>& work, ErrorCode code = ErrorCode::kDamaged) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
    return error.message();
  }
  return "it was accepted";
}

SigningKey key_of(uint64_t seed) {
  SeededRandom random(seed);
  return SigningKey::generate(random);
}

TrustedKey trust(const SigningKey& key) {
  return {key.public_key(), {}, {}};
}

std::string signed_report(const SigningKey& key, const DrillReport& report = test::drill_report()) {
  return encode_envelope(
      sign_envelope(std::string(kStatementPayload), encode_statement(report), key));
}

Evidence verify(const std::string& text, const TrustedKey& key) {
  return verify_evidence(text, std::span(&key, 1));
}

// RFC 8032, section 7.1, test 2.
TEST(Ed25519, SignsAsTheRfcSays) {
  std::string seed(32, '\0');
  ASSERT_TRUE(from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                       std::as_writable_bytes(std::span(seed))));
  const std::string der = std::string(
                              "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04"
                              "\x20",
                              16) +
                          seed;
  const SigningKey key =
      SigningKey::from_pem(Secret("-----BEGIN PRIVATE KEY-----\n" + to_base64(as_bytes(der)) +
                                  "\n-----END PRIVATE KEY-----\n"));
  const std::byte message{0x72};
  const Signature signature = key.sign(ByteView(&message, 1));
  EXPECT_EQ(to_hex(signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(key.public_key().verify(ByteView(&message, 1), signature));
  EXPECT_FALSE(key.public_key().verify({}, signature));
  EXPECT_FALSE(key.public_key().verify(ByteView(&message, 1), ByteView(signature).first(63)));
}

TEST(Ed25519, KeysSurviveTheirTexts) {
  const SigningKey key = key_of(1);
  EXPECT_EQ(SigningKey::from_pem(key.pem()).public_key(), key.public_key());
  EXPECT_EQ(PublicKey::from_pem(key.public_key().pem()), key.public_key());
  EXPECT_THAT(reason([&] { (void)PublicKey::from_pem(key.pem().reveal()); }, ErrorCode::kUsage),
              HasSubstr("not an Ed25519 public key"));
  EXPECT_THAT(reason([] { (void)SigningKey::from_pem(Secret("hunter2")); }, ErrorCode::kUsage),
              Not(HasSubstr("hunter2")));
}

// The vector of the DSSE protocol's own text.
TEST(Dsse, EncodesBeforeSigningAsTheProtocolSays) {
  EXPECT_EQ(pre_authentication_encoding("http://example.com/HelloWorld", "hello world"),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  EXPECT_EQ(pre_authentication_encoding("", ""), "DSSEv1 0  0 ");
}

TEST(Dsse, TakesBothAlphabetsOfBase64) {
  const SigningKey key = key_of(2);
  const TrustedKey trusted = trust(key);
  Envelope envelope = sign_envelope("t", std::string("\xfb\xff\xfe", 3), key);
  std::string text = encode_envelope(envelope);
  EXPECT_THAT(text, HasSubstr("+//+"));
  for (char& c : text) {
    c = c == '+' ? '-' : c == '/' ? '_' : c;
  }
  EXPECT_EQ(decode_envelope(text).payload, envelope.payload);
  EXPECT_EQ(&verify_envelope(decode_envelope(text), std::span(&trusted, 1)), &trusted);
}

TEST(Json, RefusesWhatTwoReadersCouldUnderstandDifferently) {
  const auto parse = [](std::string_view text) {
    return reason([&] { (void)Json::parse(text, 1000); });
  };
  EXPECT_THAT(parse(R"({"a":1,"b":2,"a":3})"), HasSubstr("\"a\" comes twice"));
  EXPECT_THAT(parse(R"({"a":1,"\u0061":3})"), HasSubstr("comes twice"));
  EXPECT_THAT(parse(R"({"x":{"a":1,"a":1}})"), HasSubstr("comes twice"));
  EXPECT_THAT(parse("{} {}"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(parse("{}x"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse("{\"a\":\"\xff\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse("18446744073709551615"), HasSubstr("too large"));
  EXPECT_THAT(parse("99999999999999999999999"), HasSubstr("too large"));
  EXPECT_THAT(parse("1e999"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse("NaN"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse("// c\n1"), HasSubstr("not valid JSON"));
  EXPECT_THAT(parse(std::string(40, '[') + std::string(40, ']')), HasSubstr("too deeply"));
  EXPECT_THAT(parse("\"" + std::string(2000, 'a') + "\""), HasSubstr("larger than"));
}

TEST(Json, WritesWhatItReads) {
  const std::string text =
      R"({"a":[1,-2,2.5,true,false,null,"\"\u2028é"],"b":{},"c":[],"d":"2026-11-21T08:00:00.5Z"})";
  const Json json = Json::parse(text, 1000);
  EXPECT_EQ(Json::parse(json.text(), 1000), json);
  EXPECT_EQ(json.text(), text);
  EXPECT_EQ(Json::time(*json.time_at("d")).as_text("d"), "2026-11-21T08:00:00.5Z");
}

TEST(Statement, KeepsEverythingThatADrillFound) {
  const DrillReport report = test::drill_report();
  const std::string text = encode_statement(report);
  EXPECT_EQ(encode_statement(decode_statement(text)), text);
  const DrillReport read = decode_statement(text);
  EXPECT_EQ(read.points.size(), report.points.size());
  EXPECT_EQ(read.checks[0].value, report.checks[0].value);
  EXPECT_EQ(read.declared, report.declared);
  EXPECT_EQ(read.measures[0].rto_seconds, report.measures[0].rto_seconds);
  EXPECT_EQ(read.findings, report.findings);
  EXPECT_EQ(read.steps[1].after, report.steps[1].after);
  EXPECT_TRUE(drill_passed(read));
}

TEST(Statement, AFailedCheckOrABrokenPromiseIsNoPass) {
  DrillReport report = test::drill_report();
  report.checks[0].passed = false;
  EXPECT_FALSE(drill_passed(report));
  report = test::drill_report();
  report.measures[0].met = false;
  EXPECT_FALSE(drill_passed(report));
  report = test::drill_report();
  report.outcome = RunOutcome::kIncomplete;
  EXPECT_FALSE(drill_passed(report));
}

TEST(Statement, RefusesWhatItDoesNotKnow) {
  const std::string text = encode_statement(test::drill_report());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return reason([&] { (void)decode_statement(changed); });
  };
  EXPECT_THAT(with("drill:v1", "drill:v2"), HasSubstr("does not know"));
  EXPECT_THAT(with("Statement/v1", "Statement/v2"), HasSubstr("no in-toto statement"));
  EXPECT_THAT(with("\"outcome\":\"succeeded\"", "\"outcome\":\"great\""),
              HasSubstr("not an outcome"));
  EXPECT_THAT(with("snapshot of shop-db", "snapshot of nobody"), HasSubstr("subjects"));
  EXPECT_THAT(with("\"seconds\":", "\"seconds\":\"x\",\"s\":"), HasSubstr("not a number"));
}

TEST(Evidence, EveryChangedByteIsRefused) {
  const SigningKey key = key_of(3);
  DrillReport report = test::drill_report();
  report.steps.resize(1);  // keeps it short
  const std::string good = signed_report(key, report);
  const TrustedKey trusted = trust(key);
  EXPECT_EQ(verify(good, trusted).report.id, report.id);
  SeededRandom random(4);
  for (size_t at = random.next_u64() % 5; at + 1 < good.size(); at += 5) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1U << (random.next_u64() % 7)));
    EXPECT_THROW((void)verify(bad, trusted), Error) << "byte " << at << " " << bad[at];
  }
  for (size_t size = random.next_u64() % 13; size + 1 < good.size(); size += 13) {
    EXPECT_THROW((void)verify(good.substr(0, size), trusted), Error) << size;
  }
  EXPECT_EQ(verify(good.substr(0, good.size() - 1), trusted).report.id, report.id);
}

TEST(Evidence, EveryManipulationIsRefusedWithItsReason) {
  const SigningKey key = key_of(5);
  const SigningKey other = key_of(6);
  const TrustedKey trusted = trust(key);
  const std::string good = signed_report(key);
  const auto why = [&](const std::string& text) {
    return reason([&] { (void)verify(text, trusted); });
  };
  EXPECT_THAT(why(signed_report(other)), HasSubstr("signed with the key"));
  EXPECT_THAT(why(good + good), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(why(good + "x"), HasSubstr("not valid JSON at byte"));
  EXPECT_THAT(why(good + "\n"), HasSubstr("the file around it"));
  EXPECT_THAT(why(good.substr(0, good.size() / 2)), HasSubstr("not valid JSON"));
  EXPECT_THAT(why("{\"payload\":\"e30=\"," + good.substr(1)), HasSubstr("comes twice"));
  Envelope envelope = decode_envelope(good);
  envelope.payload.replace(envelope.payload.find("\"passed\":true"), 13, "\"passed\":!!!!");
  EXPECT_THAT(why(encode_envelope(envelope)), HasSubstr("changed after signing"));
  envelope = decode_envelope(good);
  envelope.signatures.clear();
  EXPECT_THAT(why(encode_envelope(envelope)), HasSubstr("not signed"));
  envelope = sign_envelope("text/plain", decode_envelope(good).payload, key);
  EXPECT_THAT(why(encode_envelope(envelope)), HasSubstr("text/plain"));
  envelope = decode_envelope(good);
  envelope.signatures[0].key_id = other.public_key().id();
  EXPECT_THAT(why(encode_envelope(envelope)), HasSubstr("the file around it"));
  // A second signature beside ours is somebody else's business.
  envelope = decode_envelope(good);
  envelope.signatures.push_back({other.public_key().id(), std::string(64, 'x')});
  EXPECT_EQ(verify(encode_envelope(envelope), trusted).key_id, key.public_key().id());
  EXPECT_THAT(why(encode_envelope(sign_envelope(std::string(kStatementPayload), "{}", key))),
              HasSubstr("\"_type\" is missing"));
}

TEST(Evidence, AKeyCountsOnlyInItsTime) {
  const SigningKey key = key_of(7);
  const DrillReport report = test::drill_report();
  const std::string good = signed_report(key);
  TrustedKey trusted = trust(key);
  trusted.from = report.finished - std::chrono::hours(1);
  trusted.to = report.finished;
  EXPECT_EQ(verify(good, trusted).problem, "");
  trusted.to = report.finished - std::chrono::seconds(1);
  EXPECT_THAT(reason([&] { (void)verify(good, trusted); }), HasSubstr("counts only until"));
  trusted.to.reset();
  trusted.from = report.finished + std::chrono::seconds(1);
  EXPECT_THAT(reason([&] { (void)verify(good, trusted); }), HasSubstr("before its key was made"));
}

TEST(Evidence, OverviewsReadBadEvidenceAndSayWhatIsWrong) {
  const SigningKey key = key_of(8);
  const TrustedKey other = trust(key_of(9));
  const Evidence evidence = read_evidence(signed_report(key), std::span(&other, 1));
  EXPECT_EQ(evidence.report.application, "Shop");
  EXPECT_EQ(evidence.key_id, "");
  EXPECT_THAT(evidence.problem, HasSubstr("signed with the key"));
}

class StoredEvidence : public ::testing::Test {
 protected:
  [[nodiscard]] EvidenceKeys keys() {
    return {repository_.repository(), [this](const SecretReference& reference) {
              if (reference.name != "/key.pem" || file_.empty()) {
                throw Error(ErrorCode::kNotFound, "there is no " + reference.text());
              }
              return file_;
            }};
  }
  test::SmallRepository repository_;
  const Context context_ = repository_.context();
  Secret file_;
};

TEST_F(StoredEvidence, TheFirstKeyIsMadeAtFirstNeed) {
  EXPECT_TRUE(keys().load(context_).empty());
  const SigningKey first = keys().signer(context_, "ops@host");
  EXPECT_EQ(keys().signer(context_, "ops@host").public_key(), first.public_key());
  const std::vector<EvidenceKey> all = keys().load(context_);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].key, first.public_key());
  EXPECT_TRUE(all[0].vouched_for);
  // Sealed: neither key is to be seen in the storage.
  for (const ObjectInfo& object : repository_.list(ObjectKind::kSalvor)) {
    const Buffer bytes = repository_.storage().get(context_, {ObjectKind::kSalvor, object.name});
    EXPECT_EQ(as_text(bytes.view()).find("KEY"), std::string_view::npos);
  }
}

TEST_F(StoredEvidence, ANewKeyEndsTheOldAndIsVouchedFor) {
  const SigningKey first = keys().signer(context_, "a@b");
  const EvidenceKey second = keys().add(context_, {.reference = {},
                                                   .made_by = "a@b",
                                                   .comment = "",
                                                   .old_valid_to = {},
                                                   .end_reason = "compromised"});
  const std::vector<EvidenceKey> all = keys().load(context_);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].valid_to, second.valid_from);
  EXPECT_EQ(all[0].end_reason, "compromised");
  EXPECT_FALSE(all[1].valid_to);
  EXPECT_TRUE(all[1].vouched_for);
  EXPECT_FALSE(keys().signer(context_, "a@b").public_key() == first.public_key());
}

TEST_F(StoredEvidence, AKeyByReferenceStaysWhereItIs) {
  const SigningKey own = key_of(10);
  file_ = own.pem();
  const auto reference = SecretReference::parse("file:/key.pem");
  (void)keys().add(context_,
                   {.reference = reference, .made_by = "a@b", .comment = "", .old_valid_to = {}});
  EXPECT_EQ(keys().signer(context_, "a@b").public_key(), own.public_key());
  file_ = key_of(11).pem();
  EXPECT_THAT(reason([&] { (void)keys().signer(context_, "a@b"); }, ErrorCode::kUsage),
              HasSubstr("holds another private key"));
  file_ = Secret();
  // Lost: a new one can be made, but nobody vouches for it.
  const EvidenceKey next = keys().add(
      context_,
      {.reference = {}, .made_by = "a@b", .comment = "", .old_valid_to = {}, .end_reason = "lost"});
  EXPECT_FALSE(next.vouched_for);
}

TEST_F(StoredEvidence, IsFoundAgainByItsId) {
  const SigningKey key = keys().signer(context_, "a@b");
  const EvidenceStore store(repository_.repository());
  const DrillReport report = test::drill_report();
  const Evidence added = store.add(context_, report, key);
  DrillReport later = report;
  later.id = "ffff" + report.id.substr(4);
  later.started += std::chrono::hours(24);
  (void)store.add(context_, later, key);
  ASSERT_EQ(store.list(context_).size(), 2U);
  EXPECT_EQ(store.find(context_, "latest").id, later.id);
  const EvidenceEntry entry = store.find(context_, report.id.substr(0, 6));
  EXPECT_EQ(store.load(context_, entry), added.envelope);
  const TrustedKey trusted{key.public_key(), {}, {}};
  EXPECT_EQ(store.read(context_, entry, std::span(&trusted, 1)).problem, "");
  // A copy of what was signed, to let one drill count as two.
  Journal::at(repository_.repository(), "evidence/records/")
      .put(context_, "20261201T060000Z-" + std::string(32, 'a'), as_bytes(added.envelope));
  const Evidence copy =
      store.read(context_, store.find(context_, "aaaaaaaa"), std::span(&trusted, 1));
  EXPECT_THAT(copy.problem, HasSubstr("the evidence of drill 5f0c2a9b, stored once more"));
  EXPECT_THAT(reason([&] { (void)store.find(context_, "0000"); }, ErrorCode::kNotFound),
              HasSubstr("no evidence with the id"));
  EXPECT_THAT(reason([&] { (void)store.find(context_, "a"); }, ErrorCode::kUsage),
              HasSubstr("too short"));
}

}  // namespace
}  // namespace salvor
