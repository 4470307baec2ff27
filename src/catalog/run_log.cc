#include "catalog/run_log.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <span>

#include "base/task.h"
#include "repo/run_records.h"

namespace salvor {
namespace {

// Records are added to the catalog so many at a time: each time is one write to the disk.
constexpr size_t kBatch = 500;
// With fewer missing, bundles are not worth their bytes.
constexpr size_t kWorthABundle = 100;
constexpr std::chrono::hours kWholeEvery{24};

template <class Body>
bool attempt(const Context& context, const std::string& what, const char* hint, Body body) {
  try {
    body();
    return true;
  } catch (const std::exception& error) {
    context.events.on(Warning{what + ": " + error.what(), hint});
    return false;
  }
}

// Whether one of `sorted` lies in the bundle's time.
bool has_some(const std::vector<std::string>& sorted, const RecordBundle& bundle) {
  const auto first = std::find_if(sorted.begin(), sorted.end(), [&](const std::string& position) {
    return run_time_of(position) >= bundle.from;
  });
  return first != sorted.end() && run_time_of(*first) <= bundle.to;
}

class Sync {
 public:
  Sync(const Context& context, const Repository& repository, const std::string& name,
       Catalog& catalog)
      : context_(context),
        repository_(repository),
        name_(name),
        catalog_(catalog),
        records_(repository),
        pool_("records", std::max(1U, repository.storage().traits().connections)) {}

  SyncResult run() {
    for (const RunRecord& record : catalog_.unsent(name_)) {
      records_.store(context_, record);
      catalog_.add(record, true);
      ++result_.sent;
    }
    const WallTime now = context_.clock.now();
    const std::string& id = repository_.config().id;
    const std::optional<SyncState> state = catalog_.sync_state(name_);
    const bool recent = state && state->repository == id && state->latest <= now &&
                        now - state->whole < kWholeEvery;
    if (recent) {
      load(catalog_.unknown(records_.list_days(context_, state->latest - std::chrono::days(1),
                                               now + std::chrono::days(1))));
    } else {
      load_all();
    }
    catalog_.set_sync_state(
        name_, {.repository = id, .whole = recent ? state->whole : now, .latest = now});
    return std::move(result_);
  }

 private:
  void load_all() {
    const RecordNames names = records_.list_all(context_);
    std::vector<std::string> unknown = catalog_.unknown(names.positions);
    if (unknown.size() > kWorthABundle && !names.bundles.empty()) {
      load_bundles(names.bundles, unknown);
      unknown = catalog_.unknown(unknown);
    }
    load(unknown);
  }

  void load_bundles(const std::vector<RecordBundle>& bundles,
                    const std::vector<std::string>& unknown) {
    const std::set<std::string_view> wanted(unknown.begin(), unknown.end());
    TaskGroup group(pool_, context_.stop, kBundlesAtOnce);
    std::mutex mutex;
    for (auto bundle = bundles.rbegin(); bundle != bundles.rend(); ++bundle) {
      if (!has_some(unknown, *bundle)) {
        continue;
      }
      group.run([&, position = bundle->position] {
        std::vector<RunRecord> found;
        try {
          found = records_.load_bundle(context_.with_stop(group.stop_token()), position);
        } catch (const Error& error) {
          if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
            throw;
          }
          return;  // its records are there one by one
        }
        std::erase_if(found, [&](const RunRecord& record) {
          return !wanted.contains(run_record_position(record));
        });
        const std::scoped_lock lock(mutex);
        add(found);
      });
    }
    group.wait();
  }

  // Newest first: when it is interrupted, what matters most is there.
  void load(const std::vector<std::string>& positions) {
    for (size_t end = positions.size(); end > 0; end -= std::min(end, kBatch)) {
      const size_t begin = end - std::min(end, kBatch);
      load_batch(std::span(positions).subspan(begin, end - begin));
    }
  }

  void load_batch(std::span<const std::string> positions) {
    std::mutex mutex;
    std::vector<RunRecord> batch;
    TaskGroup group(pool_, context_.stop);
    for (const std::string& position : positions) {
      group.run([&] {
        try {
          RunRecord record = records_.load(context_.with_stop(group.stop_token()), position);
          const std::scoped_lock lock(mutex);
          batch.push_back(std::move(record));
        } catch (const Error& error) {
          if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
            throw;
          }
          const std::scoped_lock lock(mutex);
          result_.unreadable.push_back(position);
          context_.events.on(Warning{error.message(), "This run is missing from the history."});
        }
      });
    }
    group.wait();
    add(batch);
  }

  void add(const std::vector<RunRecord>& records) {
    if (!records.empty()) {
      catalog_.add(records, true);
      result_.loaded += records.size();
    }
  }

  static constexpr size_t kBundlesAtOnce = 16;

  const Context& context_;
  const Repository& repository_;
  const std::string& name_;
  Catalog& catalog_;
  const RunRecords records_;
  ThreadPool pool_;
  SyncResult result_;
};

}  // namespace

RunRecord record_run(const Context& context, const Repository* repository, Catalog& catalog,
                     RunRecord record) {
  const Context unstoppable = context.with_stop({});
  if (record.id.empty()) {
    record.id = make_run_id(context.random);
  }
  const bool stored =
      repository != nullptr &&
      attempt(context, "the run could not be written down in the repository",
              catalog.transient() ? "There is no catalog to keep it in: it is lost."
                                  : "It is kept in this machine's catalog and sent with the next "
                                    "run.",
              [&] { RunRecords(*repository).store(unstoppable, record); });
  attempt(context, "the run could not be written down in the catalog",
          stored ? "Nothing is lost: the repository has it." : "It is not written down anywhere.",
          [&] { catalog.add(record, stored); });
  return record;
}

SyncResult sync_catalog(const Context& context, const Repository& repository,
                        const std::string& name, Catalog& catalog) {
  return Sync(context, repository, name, catalog).run();
}

size_t bundle_records(const Context& context, const Repository& repository, Catalog& catalog) {
  const RunRecords records(repository);
  const RecordNames names = records.list_all(context);
  const std::string after = names.bundles.empty() ? "" : names.bundles.back().to;
  RunRecord oldest_left_out;
  oldest_left_out.started = context.clock.now() - kBundleAge;
  const std::string cutoff = run_record_position(oldest_left_out);
  size_t made = 0;
  std::vector<RunRecord> bundle;
  for (const std::string& position : names.positions) {
    if (run_time_of(position) <= after || run_time_of(position) >= run_time_of(cutoff)) {
      continue;
    }
    if (auto record = catalog.find(run_id_of(position))) {
      bundle.push_back(std::move(*record));
    }
    if (bundle.size() == kBundleSize) {
      records.store_bundle(context, bundle);
      bundle.clear();
      ++made;
    }
  }
  return made;
}

}  // namespace salvor
