#include "connector/postgres/logical/sql_text.h"

#include <gtest/gtest.h>

namespace salvor::postgres {
namespace {

TEST(SqlText, AnIndexMovesToAnotherTable) {
  EXPECT_EQ(index_for("CREATE UNIQUE INDEX \"a \"\" ON b\" ON ONLY public.\"x.y\" USING btree (a) "
                      "WHERE (b > 0)",
                      "\"n\".\"t\""),
            "CREATE UNIQUE INDEX ON \"n\".\"t\" USING btree (a) WHERE (b > 0)");
  EXPECT_EQ(index_for("CREATE INDEX i ON t USING gin (c)", "x"), "CREATE INDEX ON x USING gin (c)");
  EXPECT_FALSE(index_for("DROP TABLE t", "x"));
  EXPECT_FALSE(index_for("CREATE INDEX i ON t; DROP TABLE t", "x"));
}

TEST(SqlText, APlainCopyKeepsWhatAColumnIs) {
  DumpTable table;
  table.all_columns = {
      {.name = "id",
       .type = "integer",
       .not_null = true,
       .default_expression = "nextval('s'::regclass)"},
      {.name = "n", .type = "numeric(10,2)", .default_expression = "0"},
      {.name = "g", .type = "numeric", .default_expression = "(n * 2)", .generated = "s"},
      {.name = "i", .type = "bigint", .not_null = true, .identity = "a"},
      {.name = "c\"x", .type = "text", .collation = "pg_catalog.\"C\""}};
  EXPECT_EQ(
      create_table_sql(table, "x"),
      "CREATE TABLE x (\n  \"id\" integer NOT NULL,\n  \"n\" numeric(10,2) DEFAULT 0,\n"
      "  \"g\" numeric GENERATED ALWAYS AS ((n * 2)) STORED,\n"
      "  \"i\" bigint GENERATED ALWAYS AS IDENTITY,\n  \"c\"\"x\" text COLLATE pg_catalog.\"C\")");
  EXPECT_EQ(left_out_defaults(table), (std::vector<std::string>{"id: nextval('s'::regclass)"}));
}

constexpr std::string_view kList =
    "; a comment\n"
    "10; 2615 1 SCHEMA - shop app\n"
    "11; 1259 2 TABLE shop orders app\n"
    "12; 1259 3 TABLE shop orders_old app\n"
    "13; 1259 4 TABLE public orders app\n"
    "14; 0 0 ACL shop TABLE orders app\n"
    "15; 2604 5 DEFAULT shop orders id app\n"
    "16; 1259 6 SEQUENCE shop orders_id_seq app\n"
    "17; 2606 7 FK CONSTRAINT shop orders orders_customer_fkey app\n"
    "18; 1259 8 INDEX shop by_day app\n"
    "19; 1259 9 VIEW shop big app\n"
    "20; 0 0 COMMENT - SCHEMA shop app\n";

TEST(SqlText, ATableOfContentsIsNarrowedToATable) {
  DumpTable table;
  table.schema = "shop";
  table.name = "orders";
  table.constraints = {{.name = "orders_customer_fkey", .kind = 'f'}};
  table.indexes = {{.name = "by_day"}};
  const std::string chosen = table_of_contents_for(
      kList, {&table}, {{.schema = "shop", .name = "orders_id_seq", .table = "shop.orders"}});
  std::string numbers;
  for (size_t at = 0; at < chosen.size(); at = chosen.find('\n', at) + 1) {
    numbers += chosen.substr(at, 2) + " ";
  }
  EXPECT_EQ(numbers, "11 14 15 16 17 18 ");
}

TEST(SqlText, ATableOfContentsIsNarrowedToASchema) {
  const std::string chosen = table_of_contents_for_schema(kList, {"shop"});
  EXPECT_EQ(chosen.find("TABLE public"), std::string::npos);
  for (const char* const line : {"SCHEMA - shop", "VIEW shop big", "FK CONSTRAINT shop",
                                 "COMMENT - SCHEMA shop", "ACL shop"}) {
    EXPECT_NE(chosen.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(
      in_order_of(kList, {"19; 1259 9 VIEW shop big app\n", "10; 2615 1 SCHEMA - shop app\n"}),
      "10; 2615 1 SCHEMA - shop app\n19; 1259 9 VIEW shop big app\n");
}

TEST(SqlText, OnlyTheLinesOfPsqlAreTakenOut) {
  EXPECT_EQ(
      without_restrict("--\n\\restrict abc\n\nSELECT 1;\n\\restrict no\n\n\\unrestrict abc\n\n"),
      "--\n\n\nSELECT 1;\n\\restrict no\n\n\n");
  EXPECT_EQ(without_restrict("SELECT 1;\n"), "SELECT 1;\n");
}

// As pg_restore 18 writes it.
constexpr std::string_view kScript =
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped by pg_dump version 18.6\n\n"
    "SET statement_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n"
    "SET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\n"
    "SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\n"
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS '\nSET transaction_timeout = 0;\n';\n\n"
    "\\unrestrict abc\n\n";

TEST(SqlText, AnOlderServerIsSparedWhatItDoesNotKnow) {
  const std::string spared = without_newer_settings(kScript, 160014);
  EXPECT_EQ(spared.find("transaction_timeout = 0;\nSET client_encoding"), std::string::npos);
  EXPECT_NE(spared.find("session_timeout = 0;\nSET client_encoding"), std::string::npos)
      << "the settings around it stay";
  EXPECT_NE(spared.find("AS '\nSET transaction_timeout = 0;\n'"), std::string::npos)
      << "a function's text is nobody's to change";
  EXPECT_EQ(without_newer_settings(spared, 160014), spared);
  EXPECT_EQ(without_newer_settings(kScript, 170000), kScript) << "17 has it, and needs it";
  for (const std::string_view odd : {"", "\n", "--", "SET x = 1;", "SELECT 1;\n"}) {
    EXPECT_EQ(without_newer_settings(odd, 130000), odd);
  }
}

TEST(SqlText, AScriptBecomesStatements) {
  const std::string statements = as_statements(kScript, 150018);
  EXPECT_EQ(statements.find('\\'), std::string::npos);
  EXPECT_EQ(statements.find("SET transaction_timeout"),
            statements.rfind("SET transaction_timeout"));
}

}  // namespace
}  // namespace salvor::postgres
