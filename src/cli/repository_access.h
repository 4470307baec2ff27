// Opening the repository that the options and the environment name.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/password.h"
#include "cli/session.h"
#include "repo/lock.h"
#include "repo/repository.h"
#include "repo/write_session.h"
#include "storage/storage_options.h"

namespace salvor::cli {

// What --no-lock means to a command.
enum class NoLock : uint8_t {
  kHonoured,  // reading commands
  kIgnored,   // what writes needs its lock; --no-lock is then reported as without effect
};

struct OpenRequest {
  LockMode lock = LockMode::kShared;
  NoLock no_lock = NoLock::kHonoured;
  bool stdin_is_data = false;  // the password may not be read from there
  bool keep_password = false;  // hand it on in OpenedRepository
  bool cache = true;           // of a remote repository; not where it is the storage that is judged
};

// Not copyable; the lock goes before the repository. Its index is not loaded: call
// `repository->load_index(context)` when blobs are needed.
struct OpenedRepository {
  std::string location;  // for messages: without credentials
  // Shared with the audit trail, which records how the command ended.
  std::shared_ptr<Repository> repository;
  std::unique_ptr<RepositoryLock> lock;  // null without a lock
  // The session's context under the lock's token: it fires on Ctrl-C and when the lock is lost.
  Context context;
  std::optional<Secret> password = {};  // only on request

  // Throws when the lock was lost; without a lock there is nothing to lose.
  void confirm_lock(const Context& under) const {
    if (lock) {
      lock->confirm(under);
    }
  }
};

// Asks for the password if need be (three times when it is typed wrong). Throws Error{kUsage} when
// no repository is named, and all that Repository::open and RepositoryLock throw.
[[nodiscard]] OpenedRepository open_repository(Session& session, const OpenRequest& request = {});
// The source of `copy` (shared lock, --no-lock honoured); where nobody named one, of salvor.yaml.
[[nodiscard]] OpenedRepository open_from_repository(Session& session, const FromOptions& from);

// Runs `work`. When it was interrupted although nobody pressed Ctrl-C, the lock was lost: throws
// that at once, for callers that record or explain how their work ended. Of the others HeldLocks
// tells.
template <class Work>
auto run_under_lock(const Session& session, const OpenedRepository& opened, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    if (opened.lock && error.code() == ErrorCode::kCancelled &&
        !session.context.stop.stop_requested()) {
      opened.lock->confirm(session.context);
    }
    throw;
  }
}

// The parts, for commands that make repositories or keys.
[[nodiscard]] std::string repository_location(const Session& session);
// Where nobody named a repository and there is a salvor.yaml: the session that opens its
// repository. Else null.
[[nodiscard]] Session* configured_session(const Session& session);
[[nodiscard]] PasswordSources password_sources(const GlobalOptions& options);
enum class Party : uint8_t { kMain, kSource };  // -r, --from-repo
// What the storages may need besides the location. Refers to the session.
[[nodiscard]] StorageOptions storage_options(const Session& session, Party party = Party::kMain);
// The storage at `location`, under --limit-upload and --limit-download, with -o, --cacert and the
// like. The session must outlive it.
[[nodiscard]] std::unique_ptr<Storage> open_limited_storage(const Session& session,
                                                            const std::string& location,
                                                            Party party = Party::kMain);

// --compression and --pack-size as the engine takes them.
[[nodiscard]] WriteOptions write_options(const GlobalOptions& options);

}  // namespace salvor::cli
