#include "catalog/database.h"

#include <cerrno>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

namespace salvor {
namespace {

ErrorCode code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kDamaged;
    case SQLITE_FULL:
      return ErrorCode::kStorageFull;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return ErrorCode::kPermission;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kLocked;
    default:
      return ErrorCode::kFailed;
  }
}

const char* hint_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDamaged:
      return "Run `salvor catalog rebuild`: it is made from the repository again.";
    case ErrorCode::kStorageFull:
      return "Free space on the disk of the state directory. Backups do not need the catalog.";
    case ErrorCode::kPermission:
      return "Look who owns the state directory, and whether it is mounted read-only.";
    case ErrorCode::kLocked:
      return "Another salvor is writing to it; try again.";
    default:
      return "Look at the disk of the state directory. Backups do not need the catalog.";
  }
}

// SQLite would make it for everybody to read; the files that it makes beside this one become as
// this one is. One that is there is not opened: closing it again would end the locks that SQLite
// holds on it for this process (https://www.sqlite.org/howtocorrupt.html, 2.2).
void make_private_file(const std::string& path) {
  const UniqueFd made(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!made && errno != EEXIST) {
    throw Error::from_errno(errno, "cannot open the catalog " + path);
  }
}

}  // namespace

void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}
void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Database::Database(const std::string& path, std::chrono::milliseconds busy_timeout)
    : path_(path), busy_timeout_(busy_timeout) {
  if (path != ":memory:") {
    make_private_file(path);
  }
  sqlite3* handle = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  database_.reset(handle);
  require(result, "open");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
}

void Database::require(int result, std::string_view what) {
  if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE) {
    return;
  }
  const ErrorCode code = code_of(result);
  throw Error(code,
              "cannot " + std::string(what) + " the catalog " + path_ + ": " +
                  (database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(result)),
              hint_of(code));
}

void Database::execute(const std::string& script) {
  require(sqlite3_exec(database_.get(), script.c_str(), nullptr, nullptr, nullptr), "change");
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  require(sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &statement,
                             nullptr),
          "read");
  return {*this, statement};
}

int64_t Database::number(std::string_view sql) {
  Statement statement = prepare(sql);
  return statement.step() ? statement.integer(0) : 0;
}

void Database::use_write_ahead_log() {
  constexpr std::chrono::milliseconds kPause{10};
  const auto end = std::chrono::steady_clock::now() + busy_timeout_;
  for (;;) {
    try {
      execute("PRAGMA journal_mode = WAL");
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kLocked || std::chrono::steady_clock::now() > end) {
        throw;
      }
    }
    sqlite3_sleep(static_cast<int>(kPause.count()));
  }
}

std::string Database::faults() {
  Statement statement = prepare("PRAGMA quick_check(1)");
  const std::string verdict = statement.step() ? statement.text(0) : "no answer";
  return verdict == "ok" ? "" : verdict;
}

Statement& Statement::bind(int64_t value) {
  database_->require(sqlite3_bind_int64(statement_.get(), ++bound_, value), "write to");
  return *this;
}
Statement& Statement::bind(double value) {
  database_->require(sqlite3_bind_double(statement_.get(), ++bound_, value), "write to");
  return *this;
}
Statement& Statement::bind(std::string_view value) {
  database_->require(sqlite3_bind_text(statement_.get(), ++bound_, value.data(),
                                       static_cast<int>(value.size()), SQLITE_TRANSIENT),
                     "write to");
  return *this;
}
Statement& Statement::bind_null() {
  database_->require(sqlite3_bind_null(statement_.get(), ++bound_), "write to");
  return *this;
}

bool Statement::step() {
  const int result = sqlite3_step(statement_.get());
  database_->require(result, "use");
  return result == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {
  }
  sqlite3_reset(statement_.get());
  bound_ = 0;
}

bool Statement::null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return text == nullptr
             ? ""
             : std::string(text,
                           static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}
Transaction::~Transaction() {
  if (open_) {
    try {
      database_.execute("ROLLBACK");
    } catch (const Error&) {
      // A failed statement (a full disk) has rolled it back already.
    }
  }
}
void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace salvor
