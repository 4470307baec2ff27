#include "engine/store_kinds.h"

namespace salvor {
namespace {

StoreKind files_kind() {
  return {
      .name = "files",
      .summary = "files and directories of this machine",
      .fields = {{.name = "paths",
                  .type = FieldType::kPathList,
                  .help = "files and directories to protect",
                  .required = true,
                  .example = "/srv/uploads"},
                 {.name = "exclude", .type = FieldType::kTextList, .help = "patterns to leave out"},
                 {.name = "exclude-caches",
                  .type = FieldType::kFlag,
                  .help = "leave out directories with a CACHEDIR.TAG",
                  .default_text = "false"},
                 {.name = "one-file-system",
                  .type = FieldType::kFlag,
                  .help = "do not cross into other file systems",
                  .default_text = "false"}},
      .target_fields = {{.name = "directory",
                         .type = FieldType::kPath,
                         .help = "restore below this directory instead of the original places"}},
      .scenarios = {"corruption", "deletion", "loss", "ransomware"},
  };
}

StoreKind postgres_kind() {
  return {
      .name = "postgres",
      .summary = "a PostgreSQL cluster (physical, with its log) or database (logical)",
      .fields = {{.name = "url",
                  .type = FieldType::kSecret,
                  .help = "connection URL; a reference, because it holds a password",
                  .example = "env:DATABASE_URL"},
                 {.name = "method",
                  .help = "physical needs the replication right, logical only a connection",
                  .default_text = "physical",
                  .choices = {"physical", "logical"}},
                 {.name = "wal",
                  .help = "how the log is followed",
                  .default_text = "stream",
                  .choices = {"stream", "archive", "none"}},
                 {.name = "slot",
                  .help = "name of the replication slot of the stream",
                  .default_text = "salvor"},
                 {.name = "data-directory",
                  .type = FieldType::kPath,
                  .help = "of the server, on this machine: where a restore puts it"},
                 {.name = "binaries",
                  .type = FieldType::kPath,
                  .help = "folder of the server's programs; found by version when left out"},
                 {.name = "superuser", .help = "role for the checks", .default_text = "postgres"},
                 {.name = "databases",
                  .type = FieldType::kTextList,
                  .help = "logical: the database, one to a source; by default the URL's"},
                 {.name = "tables",
                  .type = FieldType::kTextList,
                  .help = "logical: only these, * and ? as in file names",
                  .example = "public.user*"},
                 {.name = "exclude-tables",
                  .type = FieldType::kTextList,
                  .help = "logical: but for these"}},
      .target_fields = {{.name = "directory",
                         .type = FieldType::kPath,
                         .help = "an empty data directory to restore into"},
                        {.name = "url",
                         .type = FieldType::kSecret,
                         .help = "logical: the database to restore into"},
                        {.name = "database",
                         .help = "logical: another database on the source's server"}},
      .scenarios = {"corruption", "deletion", "migration", "loss", "ransomware"},
      .has_log = true,
      .follows_log =
          [](const Settings& settings) {
            return settings.text("method", "physical") == "physical" &&
                   settings.text("wal", "stream") != "none";
          },
      .log_command = [](const Settings& settings) -> std::vector<std::string> {
        return settings.text("method", "physical") == "physical" &&
                       settings.text("wal", "stream") == "stream"
                   ? std::vector<std::string>{"wal", "stream"}
                   : std::vector<std::string>{};
      },
  };
}

}  // namespace

const std::vector<StoreKind>& store_kinds() {
  static const std::vector<StoreKind> kinds{files_kind(), postgres_kind()};
  return kinds;
}

const StoreKind* find_store_kind(std::string_view name) {
  for (const StoreKind& kind : store_kinds()) {
    if (kind.name == name) {
      return &kind;
    }
  }
  return nullptr;
}

}  // namespace salvor
