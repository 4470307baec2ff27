// Keeps what never changes of a remote repository on the local disk: index files, snapshots, and
// (where the caller can tell which they are) the packs that hold trees.
//
// Layout, as restic's cache: <directory>/{index,snapshots,data}/<first two digits>/<name>, where
// directory is $XDG_CACHE_HOME/salvor/<repository id> and $XDG_CACHE_HOME/salvor holds a
// CACHEDIR.TAG, so that backups leave it out. Everything in it may be deleted at any time.
//
// Trust. A name is the SHA-256 of the content, and that is verified before anything from the cache
// is used: a torn, stale or tampered file is dropped and fetched again. (A pack is verified when
// this process first reads from it; blobs carry their own authentication code besides.) So several
// processes may share it without locks, and nothing is fsynced.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "storage/decorators/forwarding_storage.h"

namespace salvor {

struct CacheLimits {
  uint64_t max_bytes = uint64_t{20} << 30;
  std::chrono::hours max_age{24 * 30};  // since last use
};

struct CacheOptions {
  std::string directory;  // of this repository
  // Whether a pack is worth keeping whole (it holds trees). None when empty. Called from any
  // thread.
  std::function<bool(std::string_view pack)> keep_pack;
  // Larger ones are read by ranges as ever: a pack is in memory while it is fetched, once a thread.
  uint64_t max_pack_bytes = uint64_t{32} << 20;
  CacheLimits limits;  // of all caches beside this one, kept to once a day
};

// Differs from the contract in one point: an object that another process has removed can still be
// had from the cache (its name stands for its content). `stat` and `list` always ask the base. A
// cache that cannot be read or written (disk full, permission) is reported once as a Warning and
// otherwise only costs speed. Thread-safe.
class CacheStorage final : public ForwardingStorage {
 public:
  CacheStorage(std::unique_ptr<Storage> base, CacheOptions options);

  // Sets where to cache and what, once, before several threads use the storage: the place is named
  // by the repository's id, which is known only when its config was read. Nothing is cached while
  // CacheOptions::directory is empty.
  void configure(CacheOptions options) { options_ = std::move(options); }

  struct Statistics {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t dropped = 0;   // cached files that did not verify
    uint64_t failures = 0;  // of the local disk
  };
  [[nodiscard]] Statistics statistics() const;

  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  // Also drops from the cache what is not listed any more.
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override;
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;

 private:
  [[nodiscard]] bool cacheable(const ObjectName& object) const;
  [[nodiscard]] std::string path_of(const ObjectName& object) const;
  std::optional<Buffer> load(const Context& context, const ObjectName& object,
                             uint64_t limit_bytes);
  void store(const Context& context, const ObjectName& object, ByteView bytes);
  void drop(const ObjectName& object);
  bool read_verified_range(const Context& context, const ObjectName& object, uint64_t offset,
                           MutableBytes out);
  bool fetch_pack(const Context& context, const ObjectName& object);
  bool fetch_pack_now(const Context& context, const ObjectName& object);
  void failed(const Context& context, const std::string& message);
  void prune_when_due(const Context& context);

  CacheOptions options_;
  std::atomic<bool> prune_considered_ = false;
  std::mutex mutex_;
  std::set<std::string> verified_packs_;
  std::set<std::string> large_packs_;  // that are not worth trying again
  std::set<std::string> fetching_;     // packs: two threads must not fetch the same
  std::condition_variable fetched_;
  std::atomic<uint64_t> hits_ = 0;
  std::atomic<uint64_t> misses_ = 0;
  std::atomic<uint64_t> dropped_ = 0;
  std::atomic<uint64_t> failures_ = 0;
};

// `base` itself when it is not remote: a copy of what is on the same disk only costs.
[[nodiscard]] std::unique_ptr<Storage> with_cache(std::unique_ptr<Storage> base,
                                                  CacheOptions options);

// $XDG_CACHE_HOME/salvor, or $HOME/.cache/salvor; given the two variables' values (empty when
// unset). Empty when neither is set.
[[nodiscard]] std::string default_cache_directory(std::string_view xdg_cache_home,
                                                  std::string_view home);

struct CachePruned {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t failures = 0;
};
// Removes from all repositories' caches below `directory` (default_cache_directory) what was not
// used for max_age, then the longest unused until max_bytes are met. Nothing but files of the
// layout above is touched: other things live there too (notes on WAL), and --cache-dir may name any
// directory. Safe beside processes that use them. CacheStorage calls it when it first writes, and
// nobody did so within a day.
CachePruned prune_cache(const Context& context, const std::string& directory,
                        const CacheLimits& limits);

}  // namespace salvor
