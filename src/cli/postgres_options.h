// Options that the PostgreSQL commands share.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/environment.h"
#include "connector/postgres/connection.h"

namespace salvor::cli {

struct PostgresServerOptions {
  std::string dbname;
};

[[nodiscard]] OptionSpec dbname_option(PostgresServerOptions& options);

// What --dbname says, else $DATABASE_URL, else libpq's own environment (PGHOST, PGSERVICE, ...).
[[nodiscard]] postgres::ConnectionTarget connection_target(const PostgresServerOptions& options,
                                                           const Environment& environment);

}  // namespace salvor::cli
