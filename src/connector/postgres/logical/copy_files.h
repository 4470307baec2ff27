// Results of COPY commands as files of a snapshot, several at a time.
//
// Each file is one command. The engine's reader threads open the files, so its read concurrency is
// the number of server connections at work. A command that fails stops the run: nothing of it may
// become a snapshot.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "connector/postgres/logical/snapshot_session.h"
#include "connector/source.h"

namespace salvor::postgres {

// What came of one command.
struct CopyResult {
  uint64_t rows = 0;
  uint64_t bytes = 0;
};

// Thread-safe. Outlives the readers: they share it.
class CopyFiles : public std::enable_shared_from_this<CopyFiles> {
 public:
  explicit CopyFiles(SnapshotSession& session) : session_(session) {}

  // Adds a file that holds what `command` (COPY ... TO STDOUT) sends; returns its number. `what`
  // names it in messages.
  size_t add(const Context& context, TreeSink& sink, TreeSink::Directory* directory, Node node,
             std::string command, std::string what);
  // Blocks until all have been read. Throws what the first failed one met.
  void wait(const Context& context);
  // After wait.
  [[nodiscard]] const CopyResult& result(size_t number) const { return results_[number]; }
  // In a handler of what the engine threw: throws that, or, when it only says "interrupted" because
  // a reader gave up, what the reader met.
  [[noreturn]] void rethrow_cause() const;

 private:
  class Opener;
  class Reader;

  void done(size_t number, const CopyResult& result);
  void failed(const Error& error);

  SnapshotSession& session_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::vector<CopyResult> results_;
  size_t open_ = 0;
  std::optional<Error> failure_;
};

}  // namespace salvor::postgres
