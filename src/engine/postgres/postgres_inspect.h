// Looking into a PostgreSQL server that was started on restored data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "connector/postgres/local_server.h"

namespace salvor {

struct ProofCheck {
  std::string name;  // "pg_amcheck postgres", "rows postgres", the text of an assertion
  bool passed = false;
  std::string value;  // what it found, one line
};

struct Assertion {
  std::string database;
  std::string statement;  // one value, true or false
};

struct InspectOptions {
  std::string binaries;  // folder of its programs
  std::string superuser = "postgres";
  bool amcheck = true;
  bool count_rows = true;
  std::vector<Assertion> assertions;
};

// Every database: all rows of all tables, pg_amcheck where it is installed; then the assertions.
// What fails is a check, not an exception, but for being stopped. Throws Error when the server
// cannot be asked at all.
[[nodiscard]] std::vector<ProofCheck> inspect_server(const Context& context,
                                                     const postgres::LocalServer& server,
                                                     const InspectOptions& options);

// What tells one state of a server from another: how many rows each table has, what its columns
// are. Exact, so that two of them of one moment are equal.
struct ServerContent {
  std::map<std::string, uint64_t> rows;       // "shop: public.orders" -> rows, by reading them
  std::map<std::string, std::string> schema;  // database -> hash of all tables' columns
  friend bool operator==(const ServerContent&, const ServerContent&) = default;

  // What is different from `expected`, the first of it: "shop: public.orders has 0 rows instead of
  // 1000"; empty when nothing is.
  [[nodiscard]] std::string difference(const ServerContent& expected) const;
};
// Throws Error when a table cannot be read.
[[nodiscard]] ServerContent content_of(const Context& context, const postgres::LocalServer& server);

// The databases that people use: those that take connections, but for templates.
[[nodiscard]] std::vector<std::string> databases_of(const Context& context,
                                                    const postgres::LocalServer& server);

// "SELECT ..." of one value in `database`, without leave to change anything: throws Error unless it
// is true.
void assert_true(const Context& context, const postgres::ConnectionTarget& target,
                 const std::string& statement);

// On one line and not longer than a check's value may be.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace salvor
