#include "codec/run_record_codec.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/properties.h"

namespace salvor {
namespace {

WallTime at(int64_t nanoseconds) {
  return WallTime(std::chrono::nanoseconds(nanoseconds));
}

RunRecord full_record() {
  RunRecord record;
  record.id = "0123456789abcdef0123456789abcdef";
  record.kind = RunKind::kVerify;
  record.outcome = RunOutcome::kSucceeded;
  record.subject = "database";
  record.repository = "main";
  record.due = at(1'795'000'000'000'000'000);
  record.started = at(1'795'000'001'000'000'000);
  record.finished = at(1'795'000'123'456'789'012);
  record.snapshot = std::string(64, 'a');
  record.captured = at(1'794'999'000'000'000'000);
  record.reached = at(1'794'999'900'000'000'001);
  record.read_bytes = UINT64_MAX;
  record.added_bytes = 7;
  record.items = 42;
  record.scenario = "corruption";
  record.rto_seconds = 372.25;
  record.rpo_seconds = 0;
  record.checks = {{"rows", true, "12", "12", 0.5}, {"say \"<ok>\"", false, "\x01\n", "", 0}};
  record.error = "it went wrong";
  record.hint = "Look.";
  record.who = "root@host";
  record.plan_hash = "ff";
  record.facts = {{"lsn", "0/3000028"}, {"empty", ""}, {"lsn", "again"}};
  return record;
}

void expect_same(const RunRecord& got, const RunRecord& want) {
  EXPECT_EQ(encode_run_record(got), encode_run_record(want));
  EXPECT_EQ(got.finished, want.finished);
  EXPECT_EQ(got.captured, want.captured);
  EXPECT_EQ(got.reached, want.reached);
  EXPECT_EQ(got.read_bytes, want.read_bytes);
  EXPECT_EQ(got.rto_seconds, want.rto_seconds);
  EXPECT_EQ(got.rpo_seconds, want.rpo_seconds);
  EXPECT_EQ(got.facts, want.facts);
  ASSERT_EQ(got.checks.size(), want.checks.size());
  for (size_t i = 0; i < got.checks.size(); ++i) {
    EXPECT_EQ(got.checks[i].name, want.checks[i].name);
    EXPECT_EQ(got.checks[i].value, want.checks[i].value);
    EXPECT_EQ(got.checks[i].passed, want.checks[i].passed);
  }
}

TEST(RunRecordCodec, NothingIsLost) {
  const RunRecord record = full_record();
  expect_same(decode_run_record(as_bytes(encode_run_record(record))), record);
  RunRecord bare;
  bare.id = record.id;
  const RunRecord back = decode_run_record(as_bytes(encode_run_record(bare)));
  EXPECT_EQ(back.due, WallTime{});
  EXPECT_FALSE(back.captured || back.reached || back.rto_seconds || back.rpo_seconds);
}

TEST(RunRecordCodec, AnyTextSurvives) {
  test::expect_property([](const std::string& subject, const std::string& value) {
    RunRecord record = full_record();
    record.subject = "\xc3\xa4" + std::to_string(subject.size());
    for (const char c : value) {  // printable ASCII and control characters
      record.error += static_cast<char>(c & 0x7f);
    }
    RC_ASSERT(decode_run_record(as_bytes(encode_run_record(record))).error == record.error);
  });
}

TEST(RunRecordCodec, WhatIsNoneIsRefused) {
  const std::string id = R"("id":"0123456789abcdef0123456789abcdef")";
  for (const std::string& text :
       {std::string("{}"), std::string("[]"), std::string(""), "{" + id + "}",
        "{" + id + R"(,"kind":"backup"})", "{" + id + R"(,"kind":"nothing","outcome":"failed"})",
        "{" + id + R"(,"kind":"backup","outcome":"failed","version":2})",
        std::string(R"({"id":"xyz","kind":"backup","outcome":"failed"})"),
        "{" + id + R"(,"kind":"backup","outcome":"failed","facts":[["one"]]})",
        "{" + id + R"(,"kind":"backup","outcome":"failed","started":"yesterday"})"}) {
    try {
      static_cast<void>(decode_run_record(as_bytes(text)));
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged) << text;
    }
  }
}

TEST(RunRecordCodec, FieldsOfTheFutureAreIgnored) {
  const RunRecord record = decode_run_record(
      as_bytes(R"({"version":1,"id":"0123456789abcdef0123456789abcdef","kind":"backup",)"
               R"("outcome":"missed","colour":{"red":1},"subject":"files"})"));
  EXPECT_EQ(record.outcome, RunOutcome::kMissed);
  EXPECT_EQ(record.subject, "files");
}

}  // namespace
}  // namespace salvor
