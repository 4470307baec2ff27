#include "engine/copies/object_locks.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/task.h"
#include "engine/maintenance/used_blobs.h"
#include "engine/reading/pack_table.h"

namespace salvor {
namespace {

constexpr unsigned kMostThreads = 32;
constexpr uint64_t kHopeless = 100;  // so many failures and nothing else: it is not the objects
constexpr std::array kKinds = {ObjectKind::kConfig, ObjectKind::kKey,  ObjectKind::kSnapshot,
                               ObjectKind::kIndex,  ObjectKind::kPack, ObjectKind::kSalvor};

// Calls `work` for each number below `count`, several at a time.
void for_each_in_parallel(const Context& context, const Storage& storage, size_t count,
                          const std::function<void(const Context&, size_t)>& work) {
  const StorageTraits traits = storage.traits();
  const unsigned threads = traits.remote ? std::clamp(traits.connections, 1U, kMostThreads) : 1U;
  std::atomic<size_t> next = 0;  // outlives the tasks
  ThreadPool pool("salvor-locks", threads);
  TaskGroup group(pool, context.stop);
  for (unsigned i = 0; i < threads; ++i) {
    group.run([&, inner = context.with_stop(group.stop_token())] {
      for (size_t at = next++; at < count; at = next++) {
        inner.check_stopped();
        work(inner, at);
      }
    });
  }
  group.wait();
}

std::vector<ObjectName> stored_packs(const Context& context, Repository& repository) {
  std::vector<ObjectName> packs;
  for (ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kPack)) {
    packs.push_back({ObjectKind::kPack, std::move(info.name)});
  }
  return packs;
}

// Packs with a blob that a snapshot needs; where damage keeps that from being known, all.
std::vector<ObjectName> needed_packs(const Context& context, Repository& repository,
                                     unsigned threads) {
  std::mutex mutex;
  bool known = true;
  const auto doubt = [&](const std::string& object, const std::string& why) {
    const std::scoped_lock lock(mutex);
    if (std::exchange(known, false)) {  // `check` tells the others
      context.events.on(ItemFailed{
          "protect", object,
          why + "; which packs the snapshots need is not known, so that all are taken for needed",
          "Run `salvor check` to see what is affected."});
    }
  };
  std::vector<UnreadableObject> unreadable;
  std::vector<BlobId> roots;
  for (const StoredSnapshot& stored : repository.load_snapshots(context, &unreadable)) {
    roots.push_back(stored.snapshot.tree);
  }
  for (const UnreadableObject& snapshot : unreadable) {
    doubt(snapshot.object.display(), snapshot.reason);
  }
  TreeWalkHandlers handlers;
  handlers.on_unreadable = [&](const BlobId& tree, const Error& error) {
    doubt("tree " + tree.short_hex(), error.message());
  };
  handlers.on_missing = [&](const BlobId& tree, const Node&, const BlobHandle& handle) {
    doubt("tree " + tree.short_hex(),
          "blob " + handle.id.short_hex() + ", which it refers to, is not in the index");
  };
  EntrySet used(repository.index().entry_count());
  mark_used_blobs(context, repository, roots, threads, handlers, used);
  if (!known) {
    return stored_packs(context, repository);
  }
  const PackTable table(repository.index());
  std::vector<ObjectName> packs;
  for (size_t pack = 0; pack < table.size(); ++pack) {
    const auto entries = table.entries(pack);
    const bool needed = std::ranges::any_of(entries, [&](Index::EntryNumber entry) {
      // Every copy of a needed blob: which one a later prune keeps is not known yet.
      const BlobHandle handle = repository.index().entry(entry).blob.handle;
      return used.contains(repository.index().entry_number(handle));
    });
    if (needed) {
      packs.push_back(pack_object(table.id(pack)));
    }
  }
  return packs;
}

std::vector<ObjectName> needed_objects(const Context& context, Repository& repository,
                                       unsigned threads) {
  std::vector<ObjectName> objects{{ObjectKind::kConfig, ""}};
  for (const ObjectKind kind :
       {ObjectKind::kKey, ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kSalvor}) {
    for (ObjectInfo& info : repository.storage().list_all(context, kind)) {
      objects.push_back({kind, std::move(info.name)});
    }
  }
  std::vector<ObjectName> packs = needed_packs(context, repository, threads);
  std::ranges::move(packs, std::back_inserter(objects));
  return objects;
}

// Errors that are one object's own; with others no object is any better.
bool concerns_object(const Error& error) {
  return error.code() == ErrorCode::kNotFound || error.code() == ErrorCode::kPermission ||
         error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kFailed;
}

// Thread-safe.
class Survey {
 public:
  Survey(Storage& storage, const LockOptions& options, WallTime now)
      : storage_(storage), options_(options), now_(now) {
    for (size_t i = 0; i < kKinds.size(); ++i) {
      report_.kinds[i].kind = kKinds[i];
    }
  }

  void look_at(const Context& context, const ObjectName& object) {
    try {
      const Found found = extend(context, object);
      const std::scoped_lock lock(mutex_);
      count(object, found);
    } catch (const Error& error) {
      if (!concerns_object(error)) {
        throw;
      }
      const std::scoped_lock lock(mutex_);
      ++report_.failed;
      ++counted(object).objects;
      if (report_.failed >= kHopeless && report_.failed == report_.objects()) {
        throw;
      }
      context.events.on(ItemFailed{"protect", object.display(), error.message(), error.hint()});
    }
    if (options_.done != nullptr) {
      ++*options_.done;
    }
  }
  [[nodiscard]] LockReport report() const { return report_; }

 private:
  struct Found {
    std::optional<Retention> retention;
    bool extended = false;
  };

  Found extend(const Context& context, const ObjectName& object) {
    Found found{.retention = storage_.retention(context, object)};
    std::optional<Retention>& retention = found.retention;
    found.extended =
        options_.until && (!retention || !retention->until || *retention->until < *options_.until);
    if (found.extended && !options_.dry_run) {
      storage_.extend_retention(context, object, *options_.until);
      if (!retention) {
        retention.emplace();
      }
      retention->until = options_.until;
    }
    return found;
  }
  LockCount& counted(const ObjectName& object) {
    return *std::ranges::find(report_.kinds, object.kind, &LockCount::kind);
  }
  void count(const ObjectName& object, const Found& found) {
    LockCount& count = counted(object);
    ++count.objects;
    count.extended += found.extended ? 1 : 0;
    const std::optional<Retention>& retention = found.retention;
    if (!retention || !retention->holds(now_)) {
      return;
    }
    ++count.held;
    report_.legal_holds += retention->legal_hold ? 1 : 0;
    report_.compliance += retention->compliance ? 1 : 0;
    if (!retention->legal_hold && retention->until &&
        (!count.first_end || *retention->until < *count.first_end)) {
      count.first_end = retention->until;
    }
  }

  Storage& storage_;
  const LockOptions& options_;
  const WallTime now_;
  std::mutex mutex_;
  LockReport report_;  // under mutex_
};

}  // namespace

uint64_t LockReport::objects() const {
  uint64_t sum = 0;
  for (const LockCount& kind : kinds) {
    sum += kind.objects;
  }
  return sum;
}

uint64_t LockReport::held() const {
  uint64_t sum = 0;
  for (const LockCount& kind : kinds) {
    sum += kind.held;
  }
  return sum;
}

uint64_t LockReport::extended() const {
  uint64_t sum = 0;
  for (const LockCount& kind : kinds) {
    sum += kind.extended;
  }
  return sum;
}

std::optional<WallTime> LockReport::first_end() const {
  std::optional<WallTime> first;
  for (const LockCount& kind : kinds) {
    if (kind.held < kind.objects) {
      return std::nullopt;
    }
    if (kind.first_end && (!first || *kind.first_end < *first)) {
      first = kind.first_end;
    }
  }
  return first;
}

std::vector<std::optional<Retention>> retentions_of(const Context& context, Storage& storage,
                                                    std::span<const ObjectName> objects) {
  std::vector<std::optional<Retention>> retentions(objects.size());
  for_each_in_parallel(context, storage, objects.size(), [&](const Context& inner, size_t at) {
    retentions[at] = storage.retention(inner, objects[at]);
  });
  return retentions;
}

LockReport survey_locks(const Context& context, Repository& repository,
                        const LockOptions& options) {
  const std::vector<ObjectName> objects = needed_objects(context, repository, options.threads);
  if (options.total != nullptr) {
    *options.total = objects.size();
  }
  Survey survey(repository.storage(), options, repository.storage().server_time(context));
  for_each_in_parallel(
      context, repository.storage(), objects.size(),
      [&](const Context& inner, size_t at) { survey.look_at(inner, objects[at]); });
  return survey.report();
}

}  // namespace salvor
