// The write-ahead journal of a run: one JSON object a line, appended and synced before what it says
// is acted upon. After a crash it is all that is known.
//
//   {"n":1,"time":"2026-11-21T08:00:00.123456789Z","type":"run",...,"sum":"8 hex digits"}
//
// "sum" is the CRC-32C of the line before it, seeded with the sum of the previous line: a line that
// was changed, left out or moved does not verify. On-disk format: do not change; add fields.
//
// A torn end (the machine died while a line was written: a part of it, zeros, what the disk held
// before) was never acted upon: it is cut off when the journal is opened for writing, and said.
// Anything else that does not verify, with entries after it, is an error.
#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "model/run_record.h"
#include "model/settings.h"

namespace salvor::plan {

struct JournalEntry {
  uint64_t number = 0;  // from 1
  WallTime time;
  std::string type;  // run_state.h has them
  std::string step;  // id; empty: the run as a whole
  TextMap values;
  TextMap outputs;
  TextMap facts;
  std::vector<CheckResult> checks;

  // Empty when there is none of that name.
  [[nodiscard]] std::string value(std::string_view name) const;
};

struct JournalContent {
  std::vector<JournalEntry> entries;
  uint64_t good_bytes = 0;  // up to the end of the last whole line
  uint32_t sum = 0;         // of it
  bool torn = false;        // something follows that was not finished
};

// Throws Error{kNotFound} when there is none, Error{kDamaged} when a line other than the last does
// not verify. Limit: 64 MiB.
[[nodiscard]] JournalContent read_journal(const std::filesystem::path& file);
// Of its text; `name` is for messages.
[[nodiscard]] JournalContent parse_journal(std::string_view text, const std::string& name);
// One line, without looking at its sum. Throws Error{kDamaged}.
[[nodiscard]] JournalEntry parse_entry(std::string_view line);
// The whole lines of a journal, without their newlines. Throws as read_journal.
[[nodiscard]] std::vector<std::string> journal_lines(const std::filesystem::path& file);

// Thread-safe.
class RunJournal {
 public:
  // Opens or makes the file (synced with its directory), after `content`; a torn end is cut off.
  RunJournal(std::filesystem::path file, const Clock& clock, const JournalContent& content);

  // On disk when it returns. Number and time are filled in. Throws Error: then nothing may be acted
  // upon, and the run must end. That is also so at the limit of 64 MiB.
  JournalEntry append(JournalEntry entry);

  // For tests: called after each append with its number, under the lock.
  void on_append(std::function<void(const JournalEntry&)> hook) { hook_ = std::move(hook); }
  // Called with each line when it is on disk, under the lock.
  void on_line(std::function<void(std::string_view)> hook) { on_line_ = std::move(hook); }

 private:
  const std::filesystem::path file_;
  const Clock& clock_;
  std::mutex mutex_;
  UniqueFd fd_;
  uint64_t number_ = 0;
  uint32_t sum_ = 0;
  uint64_t bytes_ = 0;
  bool broken_ = false;
  std::function<void(const JournalEntry&)> hook_;
  std::function<void(std::string_view)> on_line_;
};

// fsync of a directory. Throws Error.
void sync_directory(const std::filesystem::path& directory);

// "2026-11-21T08:00:00.123456789Z" and back; throws Error{kDamaged}.
[[nodiscard]] std::string time_text(WallTime time);
[[nodiscard]] WallTime time_of(const std::string& text);

}  // namespace salvor::plan
