#include "engine/copies/object_locks.h"

#include <algorithm>
#include <mutex>

#include "base/task.h"
#include "engine/maintenance/used_blobs.h"
#include "engine/reading/pack_table.h"

namespace salvor {
namespace {

constexpr unsigned kMostThreads = 32;
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

// Packs with a blob that a snapshot needs.
std::vector<ObjectName> needed_packs(const Context& context, Repository& repository,
                                     unsigned threads) {
  std::vector<BlobId> roots;
  for (const StoredSnapshot& stored : repository.load_snapshots(context)) {
    roots.push_back(stored.snapshot.tree);
  }
  EntrySet used(repository.index().entry_count());
  mark_used_blobs(context, repository, roots, threads, {}, used);
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
  LockReport report;
  for (size_t i = 0; i < kKinds.size(); ++i) {
    report.kinds[i].kind = kKinds[i];
  }
  const WallTime now = context.clock.now();
  Storage& storage = repository.storage();
  std::mutex mutex;
  for_each_in_parallel(context, storage, objects.size(), [&](const Context& inner, size_t at) {
    std::optional<Retention> retention = storage.retention(inner, objects[at]);
    const bool extend =
        options.until && (!retention || !retention->until || *retention->until < *options.until);
    if (extend && !options.dry_run) {
      storage.extend_retention(inner, objects[at], *options.until);
      if (!retention) {
        retention.emplace();
      }
      retention->until = options.until;
    }
    const std::scoped_lock lock(mutex);
    LockCount& count = *std::ranges::find(report.kinds, objects[at].kind, &LockCount::kind);
    ++count.objects;
    count.extended += extend ? 1 : 0;
    if (retention && retention->holds(now)) {
      ++count.held;
      report.legal_holds += retention->legal_hold ? 1 : 0;
      report.compliance += retention->compliance ? 1 : 0;
      if (!retention->legal_hold && retention->until &&
          (!count.first_end || *retention->until < *count.first_end)) {
        count.first_end = retention->until;
      }
    }
    if (options.done != nullptr) {
      ++*options.done;
    }
  });
  return report;
}

}  // namespace salvor
