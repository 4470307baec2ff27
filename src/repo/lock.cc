#include "repo/lock.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <iterator>
#include <mutex>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include "base/format.h"
#include "repo/repository.h"

namespace salvor {
namespace {

std::string local_hostname() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string user_name(uid_t uid) {
  std::array<char, 4096> scratch{};
  passwd entry{};
  passwd* found = nullptr;
  return getpwuid_r(uid, &entry, scratch.data(), scratch.size(), &found) == 0 && found != nullptr
             ? entry.pw_name
             : "";
}

ObjectName lock_object(const LockId& id) {
  return {ObjectKind::kLock, id.hex()};
}

Error locked_by(const StoredLock& other, WallTime now, const std::string& hostname) {
  const LockDocument& lock = other.document;
  const auto age = std::max(now - lock.time.wall(), std::chrono::nanoseconds(0));
  std::string hint =
      "Wait until it has finished, or use --retry-lock. If you know that its program is gone for "
      "good, `salvor unlock --remove-all` removes the lock.";
  if (is_stale(other, now, hostname)) {
    hint =
        "The lock looks stale (its owner is gone or has not refreshed it for 30 minutes): if no "
        "backup program is at work on this repository any more, run `salvor unlock`.";
  }
  return {
      ErrorCode::kLocked,
      fmt::format("the repository is already locked {}by PID {} on {} by {} (UID {}, GID {}), lock "
                  "{} made {} ago",
                  lock.exclusive ? "exclusively " : "", lock.pid, printable(lock.hostname),
                  printable(lock.username), lock.uid, lock.gid, other.id.short_hex(),
                  format_duration(age)),
      hint};
}

struct FoundLocks {
  std::vector<StoredLock> others;
  std::vector<std::string> unreadable;
  bool own = false;  // it was listed; what it says is known, so that it was not read
};

FoundLocks find_locks(const Context& context, Repository& repository, const LockId* own) {
  const std::string own_name = own == nullptr ? std::string() : own->hex();
  FoundLocks found;
  for (const ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kLock)) {
    if (info.size_bytes == 0) {
      continue;  // left by a crash of an old writer; restic ignores these too
    }
    if (info.name == own_name) {
      found.own = true;
      continue;
    }
    try {
      const Buffer json = repository.load_document(context, ObjectKind::kLock, info.name);
      // Listed, so a hash.
      found.others.push_back({*LockId::parse(info.name), decode_lock(json.view())});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) {
        continue;  // removed or refreshed meanwhile
      }
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      found.unreadable.push_back(info.name);
    }
  }
  return found;
}

}  // namespace

struct RepositoryLock::State {
  // On both clocks. The calendar goes on while the machine sleeps, and others judge the lock by it,
  // but it may be set back; the other clock never is.
  struct Moment {
    WallTime wall;
    MonotonicTime monotonic;
  };
  struct Written {
    LockId id;
    Moment made;  // as the file says
  };

  State(const Context& outer, Repository& repo, bool is_exclusive, LockPace lock_pace)
      : context(outer),
        repository(repo),
        exclusive(is_exclusive),
        pace(lock_pace),
        forward(outer.stop, [this] { stop.request_stop(); }) {}

  void acquire();
  void look_again();
  void wait_until_checked();
  void wait_until_fresh(const Context& under);
  void acquire_within(std::chrono::nanoseconds retry_for);
  void throw_on_conflict(const LockId* own);
  [[nodiscard]] bool seen_lately() const;
  [[nodiscard]] Moment moment() const { return {context.clock.now(), context.clock.monotonic()}; }
  [[nodiscard]] std::chrono::nanoseconds since(const Moment& then) const;
  [[nodiscard]] bool overdue() const { return since(made) > pace.give_up; }
  [[nodiscard]] bool is_there(const LockId& lock) const;
  Written write() const;
  void set_current(const Written& lock);
  void refresh();
  void remove_replaced(const Context& under);
  bool succeeds(std::string_view what, const std::function<void()>& attempt) const;
  [[nodiscard]] bool pause(std::chrono::nanoseconds time, const std::stop_token& done);
  void keep_fresh(const std::stop_token& done);
  void keep_refreshing(const std::stop_token& done);
  void give_up();
  void remove_own() noexcept;

  const Context context;
  Repository& repository;
  const bool exclusive;
  const LockPace pace;
  std::stop_source stop;
  std::stop_callback<std::function<void()>> forward;
  std::atomic<bool> lost = false;
  bool checked = false;         // guarded by mutex
  std::exception_ptr conflict;  // what the second look found; guarded by mutex
  mutable std::mutex mutex;     // guards current, made and seen
  LockId current;
  Moment made;
  std::optional<MonotonicTime> seen;  // when the storage was last asked and had it
  // Ours besides `current`: replaced by it, or never in its place, and not removed yet. Of the
  // refresher, and of remove_own after it.
  std::vector<LockId> replaced;
  std::condition_variable_any wake;
  std::jthread refresher;
};

// Locks that cannot be read count as conflicts only for exclusive use: a lock may vanish while it
// is being read, and a damaged one must not be taken for free way to delete things.
void RepositoryLock::State::throw_on_conflict(const LockId* own) {
  const WallTime now = context.clock.now();
  const MonotonicTime asked = context.clock.monotonic();
  const FoundLocks found = find_locks(context, repository, own);
  for (const StoredLock& lock : found.others) {
    if (exclusive || lock.document.exclusive) {
      throw locked_by(lock, now, local_hostname());
    }
  }
  if (!found.unreadable.empty() && exclusive) {
    throw Error(ErrorCode::kLocked,
                fmt::format("{} lock file(s) in the repository cannot be read, the first is {}",
                            found.unreadable.size(), found.unreadable.front()),
                "They may belong to a running program. If none is running, remove them with "
                "`salvor unlock --remove-all`.");
  }
  if (found.own) {
    const std::scoped_lock guard(mutex);
    seen = asked;
  }
}

RepositoryLock::State::Written RepositoryLock::State::write() const {
  const Moment now = moment();
  LockDocument lock;
  LocalZone zone;
  lock.time = zone.stamp(now.wall);
  lock.exclusive = exclusive;
  lock.hostname = local_hostname();
  lock.pid = getpid();
  lock.uid = getuid();
  lock.gid = getgid();
  lock.username = user_name(lock.uid);
  const std::string json = encode_lock(lock);
  const std::string name = repository.save_document(context, ObjectKind::kLock, as_bytes(json));
  // Named by its hash.
  return {*LockId::parse(name), now};
}

void RepositoryLock::State::set_current(const Written& lock) {
  {
    const std::scoped_lock guard(mutex);
    current = lock.id;
    made = lock.made;
    seen.reset();
  }
  wake.notify_all();
}

std::chrono::nanoseconds RepositoryLock::State::since(const Moment& then) const {
  const Moment now = moment();
  return std::max<std::chrono::nanoseconds>(now.wall - then.wall, now.monotonic - then.monotonic);
}

bool RepositoryLock::State::is_there(const LockId& lock) const {
  return repository.storage().stat(context, lock_object(lock)).has_value();
}

void RepositoryLock::State::acquire() {
  throw_on_conflict(nullptr);
  set_current(write());
  const bool at_once = repository.storage().traits().lists_at_once;
  if (!exclusive && !at_once) {
    return;  // keep_fresh looks again
  }
  try {
    if (!at_once) {
      std::this_thread::sleep_for(kLockRecheck);
    }
    throw_on_conflict(&current);
    checked = true;
  } catch (...) {
    remove_own();
    throw;
  }
}

void RepositoryLock::State::look_again() {
  std::exception_ptr found;
  try {
    throw_on_conflict(&current);
  } catch (...) {
    found = std::current_exception();
  }
  if (found) {
    stop.request_stop();  // before anybody learns of it: they may look at the token next
  }
  {
    const std::scoped_lock guard(mutex);
    conflict = found;
    checked = true;
  }
  wake.notify_all();
}

void RepositoryLock::State::wait_until_checked() {
  std::unique_lock guard(mutex);
  wake.wait(guard, [this] { return checked; });
  if (conflict) {
    std::rethrow_exception(conflict);
  }
}

// After a sleep of the machine others may have called the lock stale, and removed it: the refresher
// finds that out first.
void RepositoryLock::State::wait_until_fresh(const Context& under) {
  std::unique_lock guard(mutex);
  wake.wait(guard, under.stop, [this] { return lost || !overdue(); });
}

void RepositoryLock::State::acquire_within(std::chrono::nanoseconds retry_for) {
  const MonotonicTime give_up = context.clock.monotonic() + retry_for;
  std::chrono::nanoseconds pause = std::chrono::seconds(5);
  for (;;) {
    try {
      acquire();
      return;
    } catch (const Error& error) {
      const auto left = give_up - context.clock.monotonic();
      if (error.code() != ErrorCode::kLocked || left <= left.zero()) {
        throw;
      }
      std::unique_lock lock(mutex);
      wake.wait_for(lock, context.stop, std::min<std::chrono::nanoseconds>(pause, left),
                    [] { return false; });
    }
    context.check_stopped();
    pause = std::min<std::chrono::nanoseconds>(pause * 2, std::chrono::minutes(1));
  }
}

// Where asking costs a round trip, an answer of a moment ago is as good for whoever only adds:
// whoever removes a lock that is not stale did not wait for this second. Who deletes asks always.
bool RepositoryLock::State::seen_lately() const {
  return !exclusive && seen && repository.storage().traits().remote &&
         context.clock.monotonic() - *seen < kLockSighting;
}

// A refreshed lock is a new file; the old one goes afterwards, so there is no moment without one.
// Of an old one that others may call stale that is only known when it is still there after the new
// one is (as restic): in between somebody may have removed it, and locked what seemed free.
void RepositoryLock::State::refresh() {
  const LockId old = current;
  if (!is_there(old)) {
    lost = true;
    return;
  }
  const Written fresh = write();
  replaced.push_back(fresh.id);
  if (overdue()) {
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(kLockRecheck, pace.refresh));
    if (!is_there(old)) {
      lost = true;
      return;
    }
  }
  replaced.back() = old;
  set_current(fresh);
}

// One that stays would block others long after this run.
void RepositoryLock::State::remove_replaced(const Context& under) {
  while (!replaced.empty()) {
    repository.storage().remove(under, lock_object(replaced.back()));
    replaced.pop_back();
  }
}

// Tells of a failure; there is another attempt after the next pause.
bool RepositoryLock::State::succeeds(std::string_view what,
                                     const std::function<void()>& attempt) const {
  try {
    attempt();
    return true;
  } catch (const std::exception& error) {
    context.events.on(Warning{fmt::format("cannot {}: {}", what, error.what()), {}});
    return false;
  }
}

// False when it is time to end.
bool RepositoryLock::State::pause(std::chrono::nanoseconds time, const std::stop_token& done) {
  std::unique_lock guard(mutex);
  wake.wait_for(guard, done, time, [] { return false; });
  return !done.stop_requested();
}

void RepositoryLock::State::keep_fresh(const std::stop_token& done) {
  if (!checked) {
    if (!pause(kLockRecheck, done)) {
      return;  // a short read-only command: nothing was written under this lock
    }
    look_again();
  }
  keep_refreshing(done);
}

// Pauses stand still while the machine sleeps, so that they are short and the clock is asked.
void RepositoryLock::State::keep_refreshing(const std::stop_token& done) {
  Moment tried = made;
  while (pause(std::min(pace.refresh, kLockPoll), done)) {
    if (since(tried) < pace.refresh && !overdue()) {
      continue;
    }
    tried = moment();
    const bool refreshed = succeeds("refresh the lock", [this] { refresh(); });
    if (lost || (!refreshed && overdue())) {
      give_up();
      return;
    }
    if (refreshed) {
      succeeds("remove a lock that was refreshed", [this] { remove_replaced(context); });
    }
  }
}

void RepositoryLock::State::give_up() {
  {
    const std::scoped_lock guard(mutex);  // whoever waits for a fresh lock sees it, or is woken
    lost = true;
  }
  stop.request_stop();
  wake.notify_all();
}

void RepositoryLock::State::remove_own() noexcept {
  try {
    NullEventSink quiet;
    const Context always{{}, quiet, context.clock, context.random};  // also after an interrupt
    replaced.push_back(current);
    remove_replaced(always);
  } catch (...) {
    // What is left goes stale by itself; `unlock` removes it.
  }
}

RepositoryLock::RepositoryLock(const Context& context, Repository& repository, LockMode mode,
                               std::chrono::nanoseconds retry_for, LockPace pace)
    : state_(std::make_unique<State>(context, repository, mode == LockMode::kExclusive, pace)) {
  state_->acquire_within(retry_for);
  state_->refresher = std::jthread(
      [state = state_.get()](const std::stop_token& done) { state->keep_fresh(done); });
}

RepositoryLock::~RepositoryLock() {
  state_->refresher.request_stop();
  state_->refresher.join();
  state_->remove_own();
}

std::stop_token RepositoryLock::stop_token() const {
  return state_->stop.get_token();
}

void RepositoryLock::confirm(const Context& context) const {
  const Error lost(
      ErrorCode::kLocked, "the lock on the repository was lost",
      "Somebody removed it (unlock), or it could not be refreshed in time. Nothing was "
      "deleted; run the command again.");
  state_->wait_until_checked();
  state_->wait_until_fresh(context);
  if (state_->lost) {
    throw lost;
  }
  context.check_stopped();
  const std::scoped_lock guard(state_->mutex);
  if (state_->seen_lately()) {
    return;
  }
  const MonotonicTime asked = state_->context.clock.monotonic();
  if (!state_->repository.storage().stat(context, lock_object(state_->current))) {
    state_->lost = true;
    throw lost;
  }
  state_->seen = asked;
}

std::vector<StoredLock> list_locks(const Context& context, Repository& repository,
                                   std::vector<std::string>* unreadable) {
  FoundLocks found = find_locks(context, repository, nullptr);
  if (unreadable != nullptr) {
    std::ranges::move(found.unreadable, std::back_inserter(*unreadable));
  }
  return std::move(found.others);
}

bool is_stale(const StoredLock& lock, WallTime now, const std::string& hostname) {
  if (now - lock.document.time.wall() > kLockStale) {
    return true;
  }
  if (lock.document.hostname != hostname || lock.document.pid <= 0) {
    return false;
  }
  // Signal 0 only asks whether the process exists; EPERM means that it does.
  return kill(static_cast<pid_t>(lock.document.pid), 0) != 0 && errno == ESRCH;
}

size_t remove_locks(const Context& context, Repository& repository, bool all) {
  size_t removed = 0;
  if (all) {
    for (const ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kLock)) {
      repository.storage().remove(context, {ObjectKind::kLock, info.name});
      ++removed;
    }
    return removed;
  }
  for (const StoredLock& lock : list_locks(context, repository)) {
    if (is_stale(lock, context.clock.now(), local_hostname())) {
      repository.storage().remove(context, lock_object(lock.id));
      ++removed;
    }
  }
  return removed;
}

}  // namespace salvor
