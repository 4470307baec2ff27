#include "cli/repository_access.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "base/fd.h"
#include "cli/application/configured_repository.h"
#include "cli/cache_directory.h"
#include "cli/command_audit.h"
#include "cli/held_locks.h"
#include "storage/decorators/cache_storage.h"
#include "storage/decorators/throttle_storage.h"
#include "storage/location.h"
#include "storage/storage_options.h"

namespace salvor::cli {

namespace {

constexpr int kTypedTries = 3;
constexpr uint64_t kLocationLimit = 64 << 10;

std::string location_from(const std::optional<std::string>& repository,
                          const std::optional<std::string>& file, const std::string& option) {
  if (repository && !repository->empty()) {
    return *repository;
  }
  if (!file) {
    throw Error(ErrorCode::kUsage, "no repository is named",
                "Give its location with " + option + ", or set the environment variable SALVOR_" +
                    (option == "-r" ? "" : "FROM_") +
                    "REPOSITORY (RESTIC_* works too), or call it where a salvor.yaml names one.");
  }
  const Buffer content = read_file(*file, kLocationLimit);
  std::string text(as_text(content.view()));
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) {
    throw Error(ErrorCode::kUsage, "the repository file " + *file + " is empty");
  }
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

struct Access {
  std::string location;
  PasswordSources password;
  std::string key_hint;
  Party party = Party::kMain;
};

// The packs that hold trees, as the repository's index has them.
std::function<bool(std::string_view)> tree_packs_of(const Repository& repository) {
  struct Known {
    std::mutex mutex;
    size_t packs_in_index = 0;
    std::set<std::string, std::less<>> packs;
  };
  return [known = std::make_shared<Known>(), &repository](std::string_view pack) {
    const Index& index = repository.index();
    const std::scoped_lock lock(known->mutex);
    // Looked through once: the packs that are added later are this run's own.
    if (known->packs_in_index == 0 && index.pack_count() > 0) {
      known->packs_in_index = index.pack_count();
      std::set<PackId> found;
      index.for_each([&](const PackId& id, const PackedBlob& blob) {
        if (blob.handle.type == BlobType::kTree) {
          found.insert(id);
        }
      });
      for (const PackId& id : found) {
        known->packs.insert(id.hex());
      }
    }
    return known->packs.contains(pack);
  };
}

// What never changes of a remote repository is kept on the local disk.
void start_cache(const Session& session, CacheStorage& cache, const Repository& repository) {
  try {
    cache.configure({.directory = cache_root(session.global, session.environment) + "/" +
                                  repository.config().id,
                     .keep_pack = tree_packs_of(repository)});
  } catch (const Error& error) {
    session.terminal.warn("working without a cache: " + error.message());
  }
}

std::unique_ptr<Repository> open_with_password(Session& session, const Access& access,
                                               bool with_cache, std::optional<Secret>& password) {
  const OpenOptions options{.key_hint = access.key_hint,
                            .threads = std::max(1U, std::thread::hardware_concurrency()),
                            .location = display_location(access.location)};
  for (int attempt = 1;; ++attempt) {
    auto storage = open_limited_storage(session, access.location, access.party);
    CacheStorage* cache = nullptr;
    if (with_cache && !session.global.no_cache && storage->traits().remote) {
      auto cached = std::make_unique<CacheStorage>(std::move(storage), CacheOptions{});
      cache = cached.get();
      storage = std::move(cached);
    }
    // A wrong location is told before somebody types a password for it. Where nobody has to,
    // opening finds out, without a round trip of its own.
    const bool look_first =
        !storage->traits().remote || !has_password_source(access.password, session.environment);
    if (attempt == 1 && look_first && !storage->stat(session.context, {ObjectKind::kConfig, ""})) {
      throw Error(ErrorCode::kNoRepository, "there is no repository at " + options.location,
                  "Check the location, or make a new repository there with \"salvor init\".");
    }
    const FoundPassword found =
        find_password(access.password, session.environment, session.terminal, session.context.stop);
    try {
      auto repository =
          Repository::open(session.context, std::move(storage), found.password, options);
      password = found.password;
      if (cache != nullptr) {
        start_cache(session, *cache, *repository);
      }
      return repository;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kWrongPassword || !found.typed || attempt == kTypedTries) {
        throw;
      }
      session.terminal.raw_error_line("wrong password, please try again");
    }
  }
}

// Whether to lock at all; warns where --no-lock does not count.
bool wants_lock(Session& session, const Repository& repository, const OpenRequest& request) {
  const bool reads_only = request.no_lock == NoLock::kHonoured;
  if (request.lock == LockMode::kNone || (reads_only && repository.storage().traits().read_only)) {
    return false;
  }
  if (session.global.no_lock && request.no_lock == NoLock::kIgnored) {
    session.terminal.warn("--no-lock has no effect on this command: it changes the repository");
  }
  return !session.global.no_lock || request.no_lock == NoLock::kIgnored;
}

// --cleanup-cache. Failing to tidy up must not keep a backup from being made.
void clean_old_caches(Session& session) {
  try {
    const WallTime now = session.context.clock.now();
    for (const CacheEntry& entry : list_caches(cache_root(session.global, session.environment))) {
      if (is_old(entry, now, kCacheMaxAge)) {
        remove_cache(entry);
      }
    }
  } catch (const Error& error) {
    session.terminal.warn("old cache directories stay: " + error.message());
  }
}

OpenedRepository open_locked(Session& session, const Access& access, const OpenRequest& request) {
  std::unique_ptr<Repository> repository;
  std::optional<Secret> password;
  {
    const StageTimer timer(session.context.profile, Stage::kOpen);
    repository = open_with_password(session, access, request.cache, password);
  }
  if (!request.keep_password) {
    password.reset();
  }
  session.terminal.message_at(2, "repository " + repository->config().id.substr(0, 8) +
                                     " opened (version " +
                                     std::to_string(repository->config().version) +
                                     ", compression level " + session.global.compression + ")");
  if (session.global.cleanup_cache && !session.global.no_cache) {
    clean_old_caches(session);
  }
  std::unique_ptr<RepositoryLock> lock;
  if (wants_lock(session, *repository, request)) {
    lock = std::make_unique<RepositoryLock>(session.context, *repository, request.lock,
                                            session.global.retry_lock);
    session.locks.add(lock->stop_token());
  }
  std::shared_ptr<Repository> shared = std::move(repository);
  if (session.audit != nullptr && access.party == Party::kMain) {
    session.audit->opened(session, shared);
  }
  const Context context = lock ? session.context.with_stop(lock->stop_token()) : session.context;
  return {.location = display_location(access.location),
          .repository = std::move(shared),
          .lock = std::move(lock),
          .context = context,
          .password = std::move(password)};
}

}  // namespace

std::string repository_location(const Session& session) {
  const Session* configured = configured_session(session);
  const GlobalOptions& global = configured != nullptr ? configured->global : session.global;
  return location_from(global.repository, global.repository_file, "-r");
}

Session* configured_session(const Session& session) {
  if (names_repository(session.global) || session.configured == nullptr ||
      !session.configured->available()) {
    return nullptr;
  }
  return &session.configured->of();
}

// "from." in front of an option is for the second repository (--from-repo) alone, where it comes
// before the option without.
StorageOptions storage_options(const Session& session, Party party) {
  static constexpr std::string_view kFrom = "from.";
  const GlobalOptions& global = session.global;
  StorageOptions options;
  for (const bool from : {false, true}) {
    for (const std::string& option : global.extended) {
      const size_t equals = option.find('=');
      const bool is_from = option.starts_with(kFrom);
      if (is_from == from && (!from || party == Party::kSource)) {
        const size_t begin = from ? kFrom.size() : 0;
        options.extended[option.substr(begin, equals - begin)] = option.substr(equals + 1);
      }
    }
  }
  options.environment = [&environment = session.environment](const std::string& name) {
    return environment.get(name);
  };
  options.counts = &session.requests;
  options.http.ca_file = !global.ca_certificate.empty()
                             ? global.ca_certificate
                             : session.environment.get("AWS_CA_BUNDLE").value_or("");
  options.http.client_certificate = global.client_certificate;
  options.http.insecure = global.insecure_tls;
  if (!global.http_user_agent.empty()) {
    options.http.user_agent = global.http_user_agent;
  }
  options.http.stall_timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(global.stuck_request_timeout);
  return options;
}

std::unique_ptr<Storage> open_limited_storage(const Session& session, const std::string& location,
                                              Party party) {
  const GlobalOptions& global = session.global;
  const StorageOptions options = storage_options(session, party);
  ExtendedOptions extended(options, "limits");
  const BandwidthLimits limits{.upload_bytes_per_second = global.limit_upload_kib << 10U,
                               .download_bytes_per_second = global.limit_download_kib << 10U,
                               .windows = parse_limit_windows(extended.text("windows")),
                               .requests_per_second = extended.number("requests", 0, 0, 1'000'000)};
  extended.finish();
  return with_limits(open_storage(location, options), limits);
}

PasswordSources password_sources(const GlobalOptions& options) {
  return {.file = options.password_file,
          .command = options.password_command,
          .variable = "PASSWORD",
          .none = options.insecure_no_password};
}

OpenedRepository open_repository(Session& outer, const OpenRequest& request) {
  Session* configured = configured_session(outer);
  Session& session = configured != nullptr ? *configured : outer;
  Access access{.location = repository_location(session),
                .password = password_sources(session.global),
                .key_hint = session.global.key_hint};
  access.password.stdin_is_data = request.stdin_is_data;
  return open_locked(session, access, request);
}

namespace {

// The source of a copy where the configuration names both: another one than the target.
OpenedRepository open_configured_source(Session& outer, const FromOptions& from) {
  Session& session =
      outer.configured->of(from.repository_name ? *from.repository_name : outer.configured->main());
  if (configured_session(outer) == &session) {
    throw Error(ErrorCode::kUsage, "the source of the copy is its target",
                "Choose the target with -r or --repository-name, the source with --from-repo or "
                "--from-repository-name.");
  }
  return open_locked(session,
                     {.location = repository_location(session),
                      .password = password_sources(session.global),
                      .key_hint = session.global.key_hint,
                      .party = Party::kSource},
                     {.lock = LockMode::kShared});
}

}  // namespace

OpenedRepository open_from_repository(Session& session, const FromOptions& from) {
  if (!from.repository && !from.repository_file && session.configured != nullptr &&
      session.configured->available()) {
    return open_configured_source(session, from);
  }
  const Access access{
      .location = location_from(from.repository, from.repository_file, "--from-repo"),
      .password = {.file = from.password_file,
                   .command = from.password_command,
                   .variable = "FROM_PASSWORD",
                   .none = from.insecure_no_password,
                   .prompt = "enter password for source repository: "},
      .key_hint = from.key_hint,
      .party = Party::kSource};
  return open_locked(session, access, {.lock = LockMode::kShared});
}

WriteOptions write_options(const GlobalOptions& options) {
  WriteOptions result;
  const std::string& mode = options.compression;
  result.compression = mode == "off"       ? Compression::kOff
                       : mode == "fastest" ? Compression::kFastest
                       : mode == "better"  ? Compression::kBetter
                       : mode == "max"     ? Compression::kMax
                                           : Compression::kAuto;
  if (options.pack_size_mib != 0) {
    result.pack_size_bytes = options.pack_size_mib << 20U;
  }
  return result;
}

}  // namespace salvor::cli
