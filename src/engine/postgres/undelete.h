// Brings chosen rows back into a live database, as they were in a backup (R4).
//
// The backup's rows go into temporary tables of one session on the live server; there they are
// chosen by the caller's condition, compared by primary key, shown, and inserted in one
// transaction, parents first. Nothing but missing rows is written unless the caller wants changed
// ones put back, too. The condition is SQL, evaluated by the server on the temporary table alone,
// as a single statement in a read-only transaction.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connector/postgres/connection.h"
#include "connector/postgres/logical/dump_manifest.h"

namespace salvor {

// Where the rows of then come from.
class PastRows {
 public:
  virtual ~PastRows() = default;
  [[nodiscard]] virtual const postgres::DumpManifest& manifest() const = 0;
  // All rows of one (not partitioned) table into `target` (quoted), which has its columns.
  virtual void copy(const Context& context, const postgres::DumpTable& table,
                    postgres::Connection& live, const std::string& target) const = 0;
};

struct UndeleteOptions {
  postgres::ConnectionTarget target;
  std::string table;       // "orders" or "shop.orders"
  std::string where;       // SQL; empty: all rows
  bool related = false;    // also rows that refer to these, and rows that these refer to
  bool overwrite = false;  // rows that have changed since become again what they were
  bool fire_triggers = false;
  size_t shown_rows = 20;  // of each table and kind
  std::function<void(const std::string&)> on_step;
};

// What would happen to one table.
struct UndeletePreview {
  std::string table;
  std::vector<std::string> columns;
  std::vector<std::string> key;
  uint64_t chosen = 0;
  uint64_t missing = 0;  // would be inserted
  uint64_t changed = 0;  // are there, but differ
  uint64_t same = 0;
  std::vector<std::vector<std::optional<std::string>>> missing_rows;  // some, values in `columns`
  struct Change {
    std::string key;  // "id=5"
    std::string column;
    std::optional<std::string> then;
    std::optional<std::string> now;
  };
  std::vector<Change> changes;         // some
  std::vector<std::string> conflicts;  // why rows cannot be inserted
  std::vector<std::string> notes;      // columns that came or went
};

struct UndeleteResult {
  uint64_t inserted = 0;
  uint64_t updated = 0;
};

// One undelete: examine, show, apply. Not thread-safe. The session, and with it all temporary
// tables, ends with this object.
class Undelete {
 public:
  // Throws what Connection throws.
  Undelete(const Context& context, const PastRows& past, UndeleteOptions options);
  ~Undelete();

  // Parents before children. Throws Error{kNotFound} for a table that is not in the backup,
  // Error{kUsage} for a condition that the server refuses.
  [[nodiscard]] const std::vector<UndeletePreview>& examine(const Context& context);
  // In one transaction. Throws Error, and changes nothing, when there are conflicts or when the
  // live tables are no longer what was shown.
  [[nodiscard]] UndeleteResult apply(const Context& context);

 private:
  struct Stage;
  struct ForeignKey;
  struct State;

  [[nodiscard]] std::string compare_columns(const postgres::ResultSet& live, Stage& stage) const;
  void fill(const Context& context, const Stage& stage);
  Stage& stage(const Context& context, const std::string& name);
  void read_foreign_keys(const Context& context);
  void pick(const Context& context, Stage& stage);
  void pick_related(const Context& context);
  [[nodiscard]] uint64_t pick_children(const Context& context, const ForeignKey& key);
  [[nodiscard]] uint64_t pick_parents(const Context& context, const ForeignKey& key);
  void order_stages();
  [[nodiscard]] UndeletePreview preview(const Context& context, Stage& stage);
  void find_conflicts(const Context& context, Stage& stage, UndeletePreview& preview);
  [[nodiscard]] UndeleteResult write(const Context& context, Stage& stage);

  const PastRows& past_;
  const UndeleteOptions options_;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
