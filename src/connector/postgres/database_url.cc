#include "connector/postgres/database_url.h"

#include <array>
#include <memory>

#include <libpq-fe.h>

#include "connector/postgres/libpq.h"

namespace salvor::postgres {
namespace {

SALVOR_LATE(libpq, PQconndefaults);
SALVOR_LATE(libpq, PQconninfoFree);

// Names that frameworks give to PostgreSQL; what follows a "+" is the driver's.
bool is_postgres_scheme(std::string_view scheme) {
  constexpr std::array<std::string_view, 7> kNames{
      "postgres", "postgresql", "pgsql", "postgis", "ecto", "postgresql_psycopg2", "psql"};
  for (const std::string_view name : kNames) {
    if (scheme == name) {
      return true;
    }
  }
  return false;
}

bool libpq_knows(std::string_view key) {
  struct Free {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
  };
  const std::unique_ptr<PQconninfoOption, Free> options(PQconndefaults());
  for (const PQconninfoOption* option = options.get();
       option != nullptr && option->keyword != nullptr; ++option) {
    if (key == option->keyword) {
      return true;
    }
  }
  return false;
}

// One "key=value" of the query as libpq takes it; "" to leave it out.
std::string normal_parameter(std::string_view parameter) {
  const size_t equals = parameter.find('=');
  const std::string_view key = parameter.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : parameter.substr(equals + 1);
  if (key == "ssl") {
    if (value.empty() || value == "true" || value == "True" || value == "1") {
      return "sslmode=require";
    }
    if (value == "false" || value == "False" || value == "0") {
      return "sslmode=disable";
    }
    return "sslmode=" + std::string(value);  // asyncpg: the modes' own names
  }
  if (key == "ApplicationName") {
    return "application_name=" + std::string(value);
  }
  return libpq_knows(key) ? std::string(parameter) : "";
}

std::string normal_query(std::string_view query) {
  std::string normal;
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string part = normal_parameter(query.substr(0, end));
    if (!part.empty()) {
      normal += (normal.empty() ? "?" : "&") + part;
    }
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
  return normal;
}

}  // namespace

std::string normalize_url(std::string_view url) {
  const std::string_view whole = url;
  const bool jdbc = url.starts_with("jdbc:");
  if (jdbc) {
    url.remove_prefix(5);
    constexpr std::string_view kLocal = "postgresql:";
    if (url.starts_with(kLocal) && !url.starts_with("postgresql://")) {
      // jdbc:postgresql:database and jdbc:postgresql:/database mean this machine
      url.remove_prefix(kLocal.size());
      url.remove_prefix(url.starts_with('/') ? 1 : 0);
      const size_t query = url.find('?');
      return "postgresql://localhost/" + std::string(url.substr(0, query)) +
             (query == std::string_view::npos ? "" : normal_query(url.substr(query + 1)));
    }
  }
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) {
    return std::string(whole);
  }
  const std::string_view scheme = url.substr(0, scheme_end);
  if (!is_postgres_scheme(scheme.substr(0, scheme.find('+')))) {
    return std::string(whole);
  }
  const std::string_view rest = url.substr(scheme_end);
  const size_t query = rest.find('?');
  return "postgresql" + std::string(rest.substr(0, query)) +
         (query == std::string_view::npos ? "" : normal_query(rest.substr(query + 1)));
}

bool looks_like_transaction_pooler(std::string_view host, std::string_view port) {
  if (port == "6543") {
    return true;
  }
  // Neon: ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech
  const std::string_view first = host.substr(0, host.find('.'));
  return first.ends_with("-pooler");
}

}  // namespace salvor::postgres
