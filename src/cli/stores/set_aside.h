// Old data that a restore moves out of the way, so that it can come back (R11).
//
// What is moved where is written down before anything is moved, in the state directory, under the
// restore's key: a restore that was killed is finished by the next one with the same key, which
// takes what is at the old place for its own half-restored data and what was moved for the old.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/settings.h"

namespace salvor::cli {

struct MovedData {
  std::string place;  // where it was, and where the restored data is
  std::string kept;   // where it is now
};

// The end of the name that old data is kept under: ".before-2026-11-21T08-00-00".
[[nodiscard]] std::string aside_suffix(WallTime now);

// The note of one restore. Without a key nothing is written.
class RestoreNote {
 public:
  // Reads what an interrupted restore with this key has written. Throws Error.
  RestoreNote(const std::string& state_directory, const std::string& key, WallTime now);

  // The suffix to be used: of the interrupted restore, else a new one.
  [[nodiscard]] const std::string& suffix() const { return suffix_; }
  [[nodiscard]] bool resumed() const { return resumed_; }
  // Durable on return.
  void begin() const;
  // The restore is done.
  void end() const;

 private:
  std::string path_;
  std::string suffix_;
  bool resumed_ = false;
};

// In RestoreOutcome::facts: "moved /srv/uploads" -> "/srv/uploads.before-...".
void add_moved(TextMap& facts, const std::vector<MovedData>& moved);
[[nodiscard]] std::vector<MovedData> moved_in(const TextMap& facts);

// The old data takes its place again; the restored is removed, last. Can be repeated. Throws Error.
void put_moved_back(const std::vector<MovedData>& moved);
void discard_moved(const std::vector<MovedData>& moved);

// A rename that is durable on return. Throws Error.
void rename_durably(const std::string& from, const std::string& to);

}  // namespace salvor::cli
