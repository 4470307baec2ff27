// Locks as restic keeps them (restic format, section 8).
//
// Exclusive excludes everybody, shared excludes exclusive. Locks that look stale still block, as in
// restic: only `unlock` removes them. Install a SIGHUP handler before locking: `restic unlock`
// sends SIGHUP to the owner.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/context.h"
#include "codec/documents.h"

namespace salvor {

class Repository;

enum class LockMode : uint8_t { kNone, kShared, kExclusive };

inline constexpr std::chrono::minutes kLockStale{30};
inline constexpr std::chrono::minutes kLockRefresh{5};
// 30 - 1.5 * 5: without a successful refresh for this long the work is stopped, before others may
// call the lock stale.
inline constexpr std::chrono::seconds kLockGiveUp{1350};
// Between writing a lock and looking for others again, as restic. No wait where
// StorageTraits::lists_at_once holds (ADR 7).
inline constexpr std::chrono::milliseconds kLockRecheck{200};
// How often the lock's age is looked at: the machine may have slept for hours.
inline constexpr std::chrono::nanoseconds kLockPoll = std::chrono::seconds(1);
// `confirm` of a shared lock in a remote repository does not ask again after less than this.
inline constexpr std::chrono::milliseconds kLockSighting{1000};

// How often a held lock is refreshed, and when it counts as lost. Only tests hurry.
struct LockPace {
  std::chrono::nanoseconds refresh = kLockRefresh;
  std::chrono::nanoseconds give_up = kLockGiveUp;
};

// Held from construction to destruction; refreshed by a thread of its own, which warns where that
// fails and goes on trying until the lock is so old that others may call it stale. After a sleep of
// the machine that is at once; then the lock counts as lost unless it is still there and can be
// refreshed. Thread-safe.
class RepositoryLock {
 public:
  // `mode` is not kNone. Blocks for the re-check delay; with `retry_for`, tries again (5 s doubling
  // to 60 s) as long. Throws Error{kLocked} that names who holds the other lock, since when, and
  // whether it looks stale.
  RepositoryLock(const Context& context, Repository& repository, LockMode mode,
                 std::chrono::nanoseconds retry_for = {}, LockPace pace = {});
  // Removes the lock; failures are swallowed (the lock then goes stale).
  ~RepositoryLock();
  RepositoryLock(const RepositoryLock&) = delete;
  RepositoryLock& operator=(const RepositoryLock&) = delete;

  // Fires when the lock was lost (removed by somebody, or not refreshed in time) or `context.stop`
  // fired: nothing may be written or deleted from then on. Run the work under this token.
  [[nodiscard]] std::stop_token stop_token() const;
  // Throws Error{kLocked} when the lock is lost, Error{kCancelled} when the run was stopped; call
  // before deleting or indexing anything. Looks at the storage; for a shared lock at a remote one
  // once a second at most. Waits where the lock is overdue until it was refreshed or is lost.
  void confirm(const Context& context) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct StoredLock {
  LockId id;
  LockDocument document;
};

// The names of those that cannot be read go to `unreadable`.
[[nodiscard]] std::vector<StoredLock> list_locks(const Context& context, Repository& repository,
                                                 std::vector<std::string>* unreadable = nullptr);
// Older than kLockStale, or made on this host by a process that is gone.
[[nodiscard]] bool is_stale(const StoredLock& lock, WallTime now, const std::string& hostname);
// Removes stale locks, or all; returns how many.
size_t remove_locks(const Context& context, Repository& repository, bool all);

}  // namespace salvor
