// Where runs are kept: <state>/runs/<id>/journal.jsonl, and beside it the lock, the answers of
// people, the end of each command.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/random.h"
#include "plan/run_state.h"

namespace salvor::plan {

// Held by this process until it goes; the kernel frees it when the process dies.
class FileLock {
 public:
  FileLock() = default;
  // Nothing when somebody else holds it. Makes the file. Throws Error.
  [[nodiscard]] static std::optional<FileLock> try_take(const std::filesystem::path& file);

 private:
  UniqueFd fd_;
};

struct RunListing {
  std::string id;
  RunState state;
  bool running = false;
  std::string problem;  // the journal cannot be read; `state` is empty then
};

class RunFolder {
 public:
  // Makes the directories (owner only, synced).
  explicit RunFolder(std::filesystem::path state_directory);

  [[nodiscard]] static std::string new_id(Random& random);  // 32 hexadecimal digits
  [[nodiscard]] std::filesystem::path make(const std::string& id) const;
  [[nodiscard]] std::filesystem::path of(const std::string& id) const { return runs_ / id; }
  [[nodiscard]] std::filesystem::path journal_of(const std::string& id) const;
  // The run that `prefix` begins; empty: the newest that is not over. Throws Error{kNotFound},
  // Error{kUsage} when several do.
  [[nodiscard]] std::string find(const std::string& prefix) const;
  // What this state directory is known by in journals, made when it is first asked for: attempts of
  // another machine cannot be looked into from here.
  [[nodiscard]] std::string machine(Random& random) const;
  // Makes the journal of a run that another machine had begun, or took over from this one. What is
  // there already is how `text` begins, or else it is set aside when nothing was begun in what
  // differs (the other machine could not know of that): Error{kFailed}. Durable on return.
  void adopt(const std::string& id, std::string_view text) const;
  // Newest first.
  [[nodiscard]] std::vector<RunListing> list() const;

  // One run of one plan at a time, and one process for one run. Throw Error{kLocked}.
  [[nodiscard]] FileLock lock_plan(const std::string& plan, Mode mode) const;
  [[nodiscard]] FileLock lock_run(const std::string& id) const;
  [[nodiscard]] bool is_running(const std::string& id) const;

  // Written by `plan approve`, taken up by the process that runs it.
  void leave_approval(const std::string& id, const std::string& step, const Approval& answer) const;
  [[nodiscard]] std::optional<Approval> approval(const std::string& id,
                                                 const std::string& step) const;

  [[nodiscard]] const std::filesystem::path& root() const { return runs_; }

 private:
  std::filesystem::path runs_;
};

// Changes with every start of the machine; empty: not known.
[[nodiscard]] std::string boot_id();

// A step's id as a file's name.
[[nodiscard]] std::string file_name_of(const std::string& step);

}  // namespace salvor::plan
