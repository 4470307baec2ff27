// Chosen rows and columns of a database as files for people and programs: JSON lines or CSV.
//
// Not a backup to restore from: columns may be left out or masked. One instant, as a logical
// backup. A choice that matches nothing is an error: a mistyped column must not end up in the
// clear.
//
// Layout: export.json (what was exported, how, how many rows), tables/<schema>.<table>.jsonl or
// .csv
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "connector/postgres/logical/catalog.h"
#include "connector/postgres/logical/snapshot_session.h"
#include "connector/source.h"

namespace salvor::postgres {

enum class ExportFormat : uint8_t { kJsonLines, kCsv };

struct ExportOptions {
  SnapshotSessionOptions session;
  TableChoice choice;
  ExportFormat format = ExportFormat::kJsonLines;
  std::vector<std::pair<std::string, std::string>> columns;  // table -> "id,name": only these
  std::vector<std::string> exclude_columns;                  // "password", "users.*_hash"
  std::vector<std::pair<std::string, std::string>> masks;    // column -> mask (kMasks)
  std::vector<std::pair<std::string, std::string>> where;    // table -> SQL
  std::string name;                                          // of the server
  std::string salt;                                          // of the mask "hash": random
  Timestamp time;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// null, redact ("***"), hash (equal values stay equal within one export), email
// ("j***@example.com"), last4 ("****1234").
[[nodiscard]] const std::vector<std::string>& export_masks();

// "column", "table.column", "schema.table.column", with * and ?, parts quoted or not.
[[nodiscard]] bool column_matches(std::string_view pattern, const std::string& schema,
                                  const std::string& table, const std::string& column);

class ExportSource final : public Source {
 public:
  // Connects, resolves the choice, lets the server check the conditions. Throws Error{kUsage} for
  // what matches nothing or is no condition, Error{kPermission} for what cannot be read.
  ExportSource(const Context& context, ExportOptions options);
  ~ExportSource() override;

  [[nodiscard]] std::vector<std::string> paths() const override;
  [[nodiscard]] std::vector<std::string> tags() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

  [[nodiscard]] std::string display() const;
  [[nodiscard]] size_t table_count() const;
  [[nodiscard]] uint64_t rows() const;  // after finish

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline constexpr const char* kExportTag = "postgresql-export";

}  // namespace salvor::postgres
