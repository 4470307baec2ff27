#include "catalog/run_log.h"

#include "repo/run_records.h"

namespace salvor {
namespace {

// Records are added to the catalog so many at a time: each time is one write to the disk.
constexpr size_t kBatch = 500;

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

}  // namespace

RunRecord record_run(const Context& context, const Repository* repository, Catalog& catalog,
                     RunRecord record) {
  const Context unstoppable = context.with_stop({});
  if (record.id.empty()) {
    record.id = make_run_id(context.random);
  }
  const bool stored = repository != nullptr &&
                      attempt(context, "the run could not be written down in the repository",
                              "It is kept in this machine's catalog and sent with the next run.",
                              [&] { RunRecords(*repository).store(unstoppable, record); });
  attempt(context, "the run could not be written down in the catalog",
          stored ? "Nothing is lost: the repository has it." : "It is not written down anywhere.",
          [&] { catalog.add(record, stored); });
  return record;
}

SyncResult sync_catalog(const Context& context, const Repository& repository,
                        const std::string& name, Catalog& catalog) {
  SyncResult result;
  const RunRecords records(repository);
  for (const RunRecord& record : catalog.unsent(name)) {
    records.store(context, record);
    catalog.add(record, true);
    ++result.sent;
  }
  std::vector<RunRecord> batch;
  const auto flush = [&] {
    catalog.add(batch, true);
    result.loaded += batch.size();
    batch.clear();
  };
  for (const std::string& position : records.list(context)) {
    if (catalog.contains(run_id_of(position))) {
      continue;
    }
    try {
      batch.push_back(records.load(context, position));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
        throw;
      }
      result.unreadable.push_back(position);
      context.events.on(Warning{error.message(), "This run is missing from the history."});
      continue;
    }
    if (batch.size() == kBatch) {
      flush();
    }
  }
  if (!batch.empty()) {
    flush();
  }
  return result;
}

}  // namespace salvor
