#include "connector/postgres/logical/dump_manifest.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor::postgres {
namespace {

DumpManifest sample() {
  DumpManifest manifest;
  manifest.server_version = 150018;
  manifest.database = {
      .name = "shop", .owner = "app", .encoding = "UTF8", .settings = {"ALTER \"x\""}};
  manifest.server = "db";
  manifest.time = WallTime(std::chrono::seconds(1795255871));
  manifest.order = "physical";
  manifest.has_schema = true;
  DumpTable table;
  table.schema = "public";
  table.name = "a\"b\nc";
  table.directory = table_directory(table.schema, table.name, 1);
  table.rows = 7;
  table.columns = {"id", "ü"};
  table.key = {"id"};
  table.parts = {{"000000.copy", 7, 70}};
  // clang-format off
  table.details =
      "{\"columns\":[{\"name\":\"id\",\"type\":\"integer\",\"not_null\":true,\"default\":null,\"identity\":\"a\"}],"
      "\"constraints\":[{\"name\":\"p\",\"kind\":\"p\",\"definition\":\"PRIMARY KEY (id)\",\"references\":null}],"
      "\"indexes\":[{\"name\":\"i\",\"definition\":\"CREATE INDEX i ON public.t USING btree (id)\"}]}";
  // clang-format on
  manifest.tables.push_back(table);
  manifest.sequences.push_back(
      {.schema = "public", .name = "s", .table = "", .last_value = "-5", .called = true});
  return manifest;
}

TEST(DumpManifest, SaysAfterARoundTripWhatItSaidBefore) {
  const DumpManifest back = parse_dump_manifest(as_bytes(to_json(sample())));
  ASSERT_EQ(back.tables.size(), 1U);
  const DumpTable& table = back.tables[0];
  EXPECT_EQ(table.name, "a\"b\nc");
  EXPECT_EQ(table.rows, 7U);
  EXPECT_EQ(table.columns, (std::vector<std::string>{"id", "ü"}));
  EXPECT_EQ(table.parts.at(0).bytes, 70U);
  ASSERT_NE(table.column("id"), nullptr);
  EXPECT_EQ(table.column("id")->identity, "a");
  EXPECT_EQ(table.constraints.at(0).kind, 'p');
  EXPECT_EQ(table.indexes.at(0).name, "i");
  EXPECT_EQ(back.sequences.at(0).last_value, "-5");
  EXPECT_EQ(back.database.settings.at(0), "ALTER \"x\"");
  EXPECT_EQ(back.time, sample().time);
}

void expect_refused(std::string json, const std::string& part, const std::string& instead,
                    ErrorCode code) {
  const size_t at = json.find(part);
  ASSERT_NE(at, std::string::npos);
  json.replace(at, part.size(), instead);
  try {
    static_cast<void>(parse_dump_manifest(as_bytes(json)));
    FAIL() << instead << " was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.message();
  }
}

TEST(DumpManifest, WhatCouldHarmARestoreIsRefused) {
  const std::string json = to_json(sample());
  expect_refused(json, "\"-5\"", "\"1); DROP TABLE x; --\"", ErrorCode::kDamaged);
  expect_refused(json, "\"directory\":\"public", "\"directory\":\"../../x", ErrorCode::kDamaged);
  expect_refused(json, "salvor-postgresql-dump", "something else", ErrorCode::kDamaged);
  expect_refused(json, "\"format\":1", "\"format\":2", ErrorCode::kFailed);
  EXPECT_THROW(static_cast<void>(parse_dump_manifest(as_bytes(json.substr(0, json.size() / 2)))),
               Error);
}

TEST(DumpManifest, DirectoriesTellTablesApart) {
  EXPECT_EQ(table_directory("public", "orders", 1), "public.orders");
  EXPECT_NE(table_directory("a.b", "c", 1), table_directory("a", "b.c", 2));
  EXPECT_EQ(table_directory("a/b", "..", 1), "a%2Fb.%2E%2E");
  EXPECT_EQ(table_directory("s", std::string(63, '/'), 1).size(), 2U + 63 * 3);
  EXPECT_EQ(table_directory(std::string(63, '/'), std::string(63, '/'), 77), "relation-77");
}

TEST(TableChoice, PatternsAreOfATableOrOfSchemaAndTable) {
  EXPECT_TRUE(table_matches("orders", "any", "orders"));
  EXPECT_TRUE(table_matches("shop.*", "shop", "orders"));
  EXPECT_FALSE(table_matches("shop.*", "public", "orders"));
  EXPECT_TRUE(table_matches("\"a.b\"", "public", "a.b"));
  EXPECT_FALSE(table_matches("a.b", "public", "a.b"));
  EXPECT_TRUE(table_matches("\"o\"\"x\".t?", "o\"x", "t1"));
  EXPECT_FALSE(table_matches("a.b.c", "a", "b"));
}

TEST(TableChoice, GlobsMatchWholeNames) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*b*c", "axxbxbxc"));
  EXPECT_FALSE(glob_matches("a*b*c", "axxbxbx"));
  EXPECT_FALSE(glob_matches("log", "log2"));
  EXPECT_FALSE(glob_matches("?", ""));
}

TEST(TableChoice, WhatIsExcludedIsNotIncluded) {
  const TableChoice choice{
      .schemas = {"s"}, .exclude_schemas = {}, .tables = {"t"}, .exclude_tables = {"s.x*"}};
  EXPECT_TRUE(choice.includes("s", "a"));
  EXPECT_TRUE(choice.includes("other", "t"));
  EXPECT_FALSE(choice.includes("s", "x1"));
  EXPECT_FALSE(choice.includes("other", "a"));
  EXPECT_FALSE(choice.all());
  EXPECT_TRUE(TableChoice{}.all());
}

}  // namespace
}  // namespace salvor::postgres
