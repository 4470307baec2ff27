#include "connector/postgres/data_directory.h"

#include <algorithm>
#include <array>

namespace salvor::postgres {
namespace {

constexpr std::array<std::string_view, 8> kLeftOut{
    "postmaster.pid",  "postmaster.opts",          "backup_label",         "tablespace_map",
    "backup_manifest", "postgresql.auto.conf.tmp", "current_logfiles.tmp", ".DS_Store"};
constexpr std::array<std::string_view, 2> kLeftOutBeginnings{"pgsql_tmp", "pg_internal.init"};
constexpr std::array<std::string_view, 7> kEmptied{"pg_replslot", "pg_dynshmem",  "pg_notify",
                                                   "pg_serial",   "pg_snapshots", "pg_stat_tmp",
                                                   "pg_subtrans"};
constexpr std::string_view kInit = "_init";

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "16397" of "16397_fsm.2"; "" of what is no relation's file.
std::string_view file_number(std::string_view name) {
  const std::string_view number = name.substr(0, name.find_first_of("_."));
  return is_number(number) ? number : "";
}

// "t3_16397", "t3_16397_fsm.1"
bool is_temporary(std::string_view name) {
  const size_t underscore = name.find('_');
  return name.starts_with('t') && underscore != std::string_view::npos &&
         is_number(name.substr(1, underscore - 1)) &&
         !file_number(name.substr(underscore + 1)).empty();
}

}  // namespace

bool is_left_out(std::string_view name) {
  return std::find(kLeftOut.begin(), kLeftOut.end(), name) != kLeftOut.end() ||
         std::any_of(kLeftOutBeginnings.begin(), kLeftOutBeginnings.end(),
                     [&](std::string_view beginning) { return name.starts_with(beginning); });
}

bool is_emptied(std::string_view path) {
  return std::find(kEmptied.begin(), kEmptied.end(), path) != kEmptied.end();
}

bool is_database_directory(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || !is_number(path.substr(slash + 1))) {
    return false;
  }
  const std::string_view above = path.substr(0, slash);
  return above == "base" ||
         (above.starts_with("pg_tblspc/") && above.substr(above.rfind('/') + 1).starts_with("PG_"));
}

DatabaseFilter::DatabaseFilter(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (const std::string_view number = file_number(name);
        !number.empty() && name.substr(number.size()) == kInit) {
      unlogged_.emplace(number);
    }
  }
}

bool DatabaseFilter::leaves_out(std::string_view name) const {
  if (is_temporary(name)) {
    return true;
  }
  const std::string_view number = file_number(name);
  return !number.empty() && !name.substr(number.size()).starts_with(kInit) &&
         unlogged_.contains(number);
}

}  // namespace salvor::postgres
