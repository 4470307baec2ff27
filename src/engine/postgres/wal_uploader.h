// From the spool into the archive.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/postgres/wal_archive.h"
#include "engine/postgres/wal_spool.h"

namespace salvor {

// Stores what is in a spool. Histories come before the segments of their timeline, without which
// these cannot be used. Not thread-safe; another thread may receive into the spool meanwhile.
class SpoolStore {
 public:
  SpoolStore(const Context& context, const WalArchive& archive, WalSpool& spool);

  // Whole files, oldest first; what is stored is removed from the spool. Looks for a stop between
  // two files (returns). Returns how many were stored.
  size_t store_whole(const std::stop_token& stop = {});
  // What of the unfinished segment is durable in the spool and not yet in the archive. Nothing of a
  // segment that is archived as a whole, as by the server's own archive_command. False when files
  // that wait have to be stored before: one may be the history of this very timeline.
  bool store_tail();
  // How much of the unfinished segment is stored.
  [[nodiscard]] uint64_t known_bytes() const { return known_bytes_; }

 private:
  // Looks what there is of it from before.
  void begin_tail(const std::string& segment);

  const Context context_;
  const WalArchive& archive_;
  WalSpool& spool_;
  Buffer content_;
  JournalScratch scratch_;
  std::string tail_segment_;
  uint64_t tail_bytes_ = 0;  // of it in the archive
  uint64_t known_bytes_ = 0;
  std::vector<std::string> tails_;  // stored, not yet replaced by their segment
  size_t strange_;  // segments of which a stream that was killed may have stored pieces
};

// Does so all the time, the tail every few seconds. One thread of its own; errors are told and
// tried again. The destructor stores what there still is and gives up at the first error.
class WalUploader {
 public:
  WalUploader(const Context& context, const WalArchive& archive, WalSpool& spool,
              std::chrono::nanoseconds flush_every);
  ~WalUploader();
  WalUploader(const WalUploader&) = delete;
  WalUploader& operator=(const WalUploader&) = delete;
  // The tail is not left until it is due: the server that sent it may never come back. From any
  // thread; does not wait.
  void hurry() { hurry_ = true; }

 private:
  void work(const std::stop_token& stop);
  void store(const std::stop_token& stop);
  [[nodiscard]] bool tail_is_due(std::chrono::nanoseconds age) const;
  void warn(const Error& error, bool last);

  const Context context_;
  WalSpool& spool_;
  const std::chrono::nanoseconds flush_every_;
  SpoolStore store_;
  MonotonicTime stored_;  // all that came before is in the archive
  std::optional<MonotonicTime> warned_;
  std::atomic<bool> hurry_ = false;
  std::jthread thread_;  // last: it uses all the others
};

// Stores, on a thread of its own, what streams that have ended left in the spools under `root`, of
// every cluster but `except` (0: of all): for that no server is needed, and there may be none any
// more. Spools that somebody has open are left to him. Each is tried once; errors are told as
// warnings. The destructor waits until all is stored, or the context is stopped.
class SpoolRescue {
 public:
  SpoolRescue(const Context& context, const Repository& repository, std::string root,
              uint64_t except);
  ~SpoolRescue();
  SpoolRescue(const SpoolRescue&) = delete;
  SpoolRescue& operator=(const SpoolRescue&) = delete;

  // Ends it after the file that is being stored; waits for that.
  void stop();

 private:
  void work(const std::stop_token& stop) const;
  void store(const std::string& folder, uint64_t system_identifier,
             const std::stop_token& stop) const;

  const Context context_;
  const Repository& repository_;
  const std::string root_;
  const uint64_t except_;
  std::jthread thread_;  // last: it uses all the others
};

}  // namespace salvor
