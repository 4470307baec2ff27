#include "engine/postgres/wal_copy.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/task.h"
#include "engine/postgres/wal_archive.h"

namespace salvor {
namespace {

using postgres::WalFileKind;

// "….tail-…" is a piece of the segment that it is named after.
std::string file_of(const std::string& position) {
  return position.substr(0, position.find('.'));
}

bool is_piece(const std::string& position) {
  return position.find(".tail-") != std::string::npos;
}

// One cluster's log, on both sides.
class LogCopy {
 public:
  LogCopy(const Context& context, const WalArchive& from, const WalArchive& to)
      : context_(context), from_(from.journal()), to_(to.journal()), size_(from.segment_size()) {
    for (const JournalEntry& entry : to_.list(context)) {
      present_.insert(entry.position);
    }
  }

  // What the target lacks from `first` on, whole files before pieces of files.
  std::vector<JournalEntry> missing(postgres::SegmentNumber first) const {
    std::vector<JournalEntry> entries;
    std::vector<JournalEntry> pieces;
    for (JournalEntry& entry : from_.list(context_)) {
      const bool piece = is_piece(entry.position);
      const auto parsed =
          postgres::parse_wal_file_name(piece ? file_of(entry.position) : entry.position, size_);
      const bool needed =
          parsed && (parsed->kind == WalFileKind::kHistory || parsed->segment >= first);
      if (!needed || present_.contains(entry.position) ||
          (piece && present_.contains(file_of(entry.position)))) {
        continue;
      }
      (piece ? pieces : entries).push_back(std::move(entry));
    }
    entries.insert(entries.end(), pieces.begin(), pieces.end());
    return entries;
  }

  void copy(const std::vector<JournalEntry>& entries, unsigned threads) {
    std::atomic<size_t> next = 0;  // these outlive the tasks
    std::mutex mutex;
    std::optional<Error> damage;
    ThreadPool pool("salvor-log", threads);
    TaskGroup group(pool, context_.stop);
    for (unsigned i = 0; i < threads; ++i) {
      group.run([&, inner = context_.with_stop(group.stop_token())] {
        JournalScratch scratch;
        for (size_t at = next++; at < entries.size(); at = next++) {
          try {
            copy_one(inner, entries[at].position, scratch);
          } catch (const Error& error) {
            if (error.code() != ErrorCode::kDamaged) {
              throw;
            }
            const std::scoped_lock lock(mutex);
            damage = damage.value_or(error);
          }
        }
      });
    }
    group.wait();
    if (damage) {
      throw *damage;
    }
  }

  // Pieces in the target of segments that it has whole by now.
  void remove_pieces(const std::vector<JournalEntry>& copied) {
    for (const JournalEntry& entry : copied) {
      present_.insert(entry.position);
    }
    std::vector<std::string> stale;
    std::ranges::copy_if(present_, std::back_inserter(stale), [&](const std::string& position) {
      return is_piece(position) && present_.contains(file_of(position));
    });
    to_.remove(context_, stale);
  }

 private:
  void copy_one(const Context& inner, const std::string& position, JournalScratch& scratch) {
    Buffer content;
    try {
      content = from_.get(inner, position);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) {
        return;  // a prune, or the segment that a piece was of is whole now
      }
      throw;
    }
    (void)to_.put(inner, position, content.view(), scratch);
  }

  const Context& context_;
  const Journal& from_;
  const Journal& to_;
  const postgres::SegmentSize size_;
  std::set<std::string> present_;  // in the target
};

}  // namespace

WalCopied copy_wal(const Context& context, Repository& source, const Repository& target,
                   const WalCopyOptions& options) {
  WalCopied copied;
  const std::vector<uint64_t> systems = archived_systems(context, source);
  if (systems.empty()) {
    return copied;
  }
  std::map<uint64_t, postgres::Lsn> needed_from;
  for (const PhysicalBackup& backup : physical_backups(context, target)) {
    const auto [at, added] =
        needed_from.try_emplace(backup.facts.system_identifier, backup.facts.start);
    at->second = std::min(at->second, backup.facts.start);
  }
  for (const uint64_t system : systems) {
    const auto needed = needed_from.find(system);
    if (needed == needed_from.end()) {
      continue;
    }
    const WalArchive from = open_wal_archive(context, source, system);
    const WalArchive to(target, system, from.segment_size());
    LogCopy log(context, from, to);
    const std::vector<JournalEntry> missing =
        log.missing(postgres::segment_of(needed->second, from.segment_size()));
    WalCopied these{.objects = missing.size()};
    for (const JournalEntry& entry : missing) {
      these.stored_bytes += entry.stored_bytes;
    }
    if (options.on_planned && these.objects > 0) {
      options.on_planned(system, these.objects, these.stored_bytes);
    }
    if (options.confirm_lock) {
      options.confirm_lock(context);
    }
    log.copy(missing, options.threads);
    log.remove_pieces(missing);
    copied.objects += these.objects;
    copied.stored_bytes += these.stored_bytes;
  }
  return copied;
}

}  // namespace salvor
