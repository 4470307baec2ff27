// SQLite as the catalog uses it: a file with statements and transactions. Errors are Error:
// kDamaged when the file is not what SQLite wrote, kStorageFull, kPermission, kLocked after the
// busy time-out, else kFailed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace salvor {

class Database;

// A prepared statement; parameters count from 1, columns from 0, as in SQLite. Must not outlive its
// database.
class Statement {
 public:
  Statement& bind(int64_t value);  // parameters in their order
  Statement& bind(double value);
  Statement& bind(std::string_view value);
  Statement& bind_null();
  // Whether there is a row.
  bool step();
  // step() and what is left of it, then ready to be bound anew.
  void run();

  [[nodiscard]] bool null(int column) const;
  [[nodiscard]] int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(Database& database, sqlite3_stmt* statement)
      : database_(&database), statement_(statement) {}

  Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
};

// Thread-compatible; other processes may use the same file.
class Database {
 public:
  // Made when absent, readable by its owner only. ":memory:" for one without a file.
  Database(const std::string& path, std::chrono::milliseconds busy_timeout);

  void execute(const std::string& script);
  // Readers and one writer beside each other (https://www.sqlite.org/wal.html); lasts. Waits for
  // processes that do the same as long as for any lock: SQLite itself does not wait there, where
  // two would wait for each other.
  void use_write_ahead_log();
  [[nodiscard]] Statement prepare(std::string_view sql);
  [[nodiscard]] int64_t number(std::string_view sql);  // the one value it gives
  // What SQLite's quick check finds wrong; empty: nothing.
  [[nodiscard]] std::string faults();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  friend class Statement;
  struct Close {
    void operator()(sqlite3* database) const;
  };
  void require(int result, std::string_view what);

  std::string path_;
  std::chrono::milliseconds busy_timeout_;
  std::unique_ptr<sqlite3, Close> database_;
};

// Takes the write lock at once; rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace salvor
