#include "engine/maintenance/pruner.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/task.h"
#include "codec/index_codec.h"
#include "codec/pack_header.h"
#include "engine/copies/object_locks.h"
#include "engine/maintenance/index_rewriter.h"
#include "engine/maintenance/used_blobs.h"
#include "engine/reading/pack_reader.h"
#include "engine/reading/pack_table.h"
#include "engine/remove_objects.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// Kept blobs of a pack at most this far apart are read together.
constexpr uint64_t kLargestGap = 256 << 10;
constexpr uint64_t kLargestRead = 2 << 20;

}  // namespace

struct Pruner::State {
  State(const Context& outer, Repository& repo, PruneOptions prune_options)
      : context(outer), repository(repo), options(std::move(prune_options)) {
    options.limits.repository_version = repo.config().version;
    if (options.recover_no_free_space) {
      options.limits.max_repack_bytes = 0;
      options.keep_delete = std::chrono::seconds(0);
    }
  }

  // Planning.
  void load();
  void mark();
  void know_marked_packs();
  void list_packs();
  void find_leftovers();
  void find_locked();
  void leave_locked(const PackId& id, const Retention& retention);
  void choose_copies();
  void settle_duplicates(std::span<const Index::EntryNumber> duplicates);
  void count(Index::EntryNumber entry, bool is_used, bool is_duplicate);
  void take(Index::EntryNumber entry);
  [[nodiscard]] bool is_ignored(const SnapshotId& snapshot) const;
  [[nodiscard]] std::vector<StoredSnapshot> load_snapshots();
  [[nodiscard]] std::vector<BlobId> roots_besides(std::span<const SnapshotId> known);

  // Execution.
  void prepare_removal();
  enum class Moment : uint8_t { kBeforeAnything, kBeforeOldIndexGoes, kBeforeOldPacksGo };
  void look_again(Moment moment);
  void repack();
  void repack_pack(const Context& inner, BlobWriter& writer, size_t pack);
  void read_again(const Context& inner, BlobWriter& writer);
  // `work` may find that what it was given, or was given before, does not verify.
  template <class Work>
  void or_read_again(const Context& inner, BlobWriter& writer, const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      read_again(inner, writer);
    }
  }
  void copy_blobs(const Context& inner, BlobWriter& writer, const PackId& pack,
                  std::span<const PackedBlob> blobs);
  void remove_leftovers();
  void remove_unlisted();
  void choose_marks();
  void replace_index();
  void recreate_index();
  void remove_packs();
  void confirm() const {
    context.check_stopped();
    if (options.confirm_lock) {
      options.confirm_lock();
    }
  }

  const Context context;
  Repository& repository;
  PruneOptions options;
  PruneProgress own_progress;
  PruneProgress& progress = options.progress != nullptr ? *options.progress : own_progress;

  std::vector<IndexId> known_index_files;    // looked at, sorted
  std::vector<SnapshotId> marked_snapshots;  // the ignored ones too
  std::unique_ptr<PackTable> table;
  std::unique_ptr<EntrySet> used;  // first copies
  std::unique_ptr<EntrySet> keep;  // the one copy of each used blob that stays, or is copied
  std::vector<PackUse> packs;      // as in `table`
  std::vector<UnlistedPack> unlisted;
  PruneStatistics statistics;
  std::optional<PrunePlan> plan;
  std::vector<Leftover> leftovers;
  LockedPacks locked;
  std::unordered_set<PackId, IdHash> going;  // from the index, and from the storage
  std::unordered_set<PackId, IdHash> going_unlisted;
  std::chrono::seconds keep_delete{0};
  std::map<PackId, const MarkedPack*> marked_before;
  std::vector<MarkedPack> marks;      // from now on
  std::vector<ListedPack> recovered;  // back into the index
  PruneResult result;
};

// --- the plan ------------------------------------------------------------------------------------

void Pruner::State::load() {
  repository.load_index(context);
  known_index_files = repository.index_files();
  know_marked_packs();
  table = std::make_unique<PackTable>(repository.index());
}

// What an earlier prune has marked may have come to be needed: its blobs take part like all others.
void Pruner::State::know_marked_packs() {
  for (const MarkedPack& pack : repository.marked_packs()) {
    marked_before.emplace(pack.id, &pack);
    repository.index().add_pack(pack.id, pack.blobs);
  }
}

// Trees of the snapshots that are stored now, except those of `known`, which it makes complete.
std::vector<BlobId> Pruner::State::roots_besides(std::span<const SnapshotId> known) {
  std::vector<BlobId> roots;
  for (const ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kSnapshot)) {
    const SnapshotId id = *SnapshotId::parse(info.name);
    if (std::find(known.begin(), known.end(), id) == known.end()) {
      roots.push_back(repository.load_snapshot(context, id).tree);
    }
  }
  return roots;
}

bool Pruner::State::is_ignored(const SnapshotId& snapshot) const {
  const auto& ignored = options.ignore_snapshots;
  return std::find(ignored.begin(), ignored.end(), snapshot) != ignored.end();
}

// Nobody knows what a damaged snapshot needs, so that nothing may go.
std::vector<StoredSnapshot> Pruner::State::load_snapshots() {
  std::vector<UnreadableObject> unreadable;
  std::vector<StoredSnapshot> snapshots = repository.load_snapshots(context, &unreadable);
  for (const UnreadableObject& one : unreadable) {
    // Listed, so a hash.
    const SnapshotId id = *SnapshotId::parse(one.object.name);
    if (!is_ignored(id)) {
      throw Error(
          ErrorCode::kDamaged, one.reason,
          "What it needs is not known, so nothing was removed. Bring it back from a copy of "
          "the repository, or remove it with `salvor forget " +
              one.object.name + "`, and run `salvor prune` again.");
    }
    marked_snapshots.push_back(id);
  }
  return snapshots;
}

void Pruner::State::mark() {
  const std::vector<StoredSnapshot> snapshots = load_snapshots();
  std::vector<BlobId> roots;
  bool rustic = !marked_before.empty();  // or somebody who thinks of it
  for (const StoredSnapshot& stored : snapshots) {
    rustic = rustic || stored.snapshot.program_version.starts_with("rustic");
    marked_snapshots.push_back(stored.id);
    if (!is_ignored(stored.id)) {
      roots.push_back(stored.snapshot.tree);
    }
  }
  keep_delete =
      options.keep_delete.value_or(rustic ? kKeepDeleteBesideRustic : std::chrono::seconds(0));
  used = std::make_unique<EntrySet>(repository.index().entry_count());
  TreeWalkHandlers handlers;
  handlers.trees_read = &progress.trees;
  mark_used_blobs(context, repository, roots, options.threads, handlers, *used);
}

void Pruner::State::list_packs() {
  packs.resize(table->size());
  const WallTime now = context.clock.now();
  const auto is_old = [&](const MarkedPack& mark) {
    return keep_delete.count() == 0 || (mark.time && mark.time->wall() + keep_delete <= now);
  };
  for (size_t i = 0; i < packs.size(); ++i) {
    packs[i].id = table->id(i);
    packs[i].used_bytes = pack_size_of({});
    if (const auto mark = marked_before.find(packs[i].id); mark != marked_before.end()) {
      packs[i].marked = true;
      packs[i].mark_is_old = is_old(*mark->second);
    }
  }
  repository.storage().list(context, ObjectKind::kPack, [&](const ObjectInfo& info) {
    const PackId id = *PackId::parse(info.name);
    if (const std::optional<size_t> number = table->find(id)) {
      packs[*number].present = true;
      packs[*number].real_size = info.size_bytes;
      return;
    }
    const auto mark = marked_before.find(id);
    if (mark == marked_before.end()) {
      unlisted.push_back({id, info.size_bytes, keep_delete.count() > 0});
    } else if (is_old(*mark->second)) {
      unlisted.push_back({id, info.size_bytes});
    } else {
      ++statistics.packs.wait;
      marks.push_back(*mark->second);
    }
  });
}

void Pruner::State::find_leftovers() {
  leftovers = repository.storage().leftovers(context, kLeftoverAge);
  for (const Leftover& leftover : leftovers) {
    ++statistics.leftovers.files;
    statistics.leftovers.bytes += leftover.size_bytes;
  }
}

// What is about to go but is locked stays; everything else is decided anew around it, until nothing
// that goes is locked.
void Pruner::State::find_locked() {
  const WallTime now = repository.storage().server_time(context);
  std::unordered_set<PackId, IdHash> asked;
  for (bool any = true; any;) {
    std::vector<PackId> ids;
    for (size_t i = 0; i < packs.size(); ++i) {
      if (plan->fates[i] == PackFate::kRemove || plan->fates[i] == PackFate::kRepack) {
        ids.push_back(table->id(i));
      }
    }
    for (const UnlistedPack& pack : plan->unlisted) {
      ids.push_back(pack.id);
    }
    std::erase_if(ids, [&](const PackId& id) { return !asked.insert(id).second; });
    std::vector<ObjectName> objects;
    std::ranges::transform(ids, std::back_inserter(objects), pack_object);
    const auto retentions = retentions_of(context, repository.storage(), objects);
    any = false;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (retentions[i] && retentions[i]->holds(now)) {
        any = true;
        leave_locked(ids[i], *retentions[i]);
      }
    }
    if (any) {
      plan = decide_prune(packs, unlisted, options.limits, statistics);
    }
  }
}

void Pruner::State::leave_locked(const PackId& id, const Retention& retention) {
  if (retention.legal_hold) {
    ++locked.held;
  } else {
    locked.first = std::min(locked.first.value_or(*retention.until), *retention.until);
    locked.last = std::max(locked.last.value_or(*retention.until), *retention.until);
  }
  if (const std::optional<size_t> number = table->find(id)) {
    packs[*number].locked = true;
  } else {
    ++statistics.packs.locked;
    std::erase_if(unlisted, [&](const UnlistedPack& pack) { return pack.id == id; });
  }
}

// Books an entry with its pack. The header's share counts as used: repacking does not save it.
void Pruner::State::count(Index::EntryNumber entry, bool is_used, bool is_duplicate) {
  const PackedBlob blob = repository.index().entry(entry).blob;
  PackUse& pack = packs[table->pack_of(entry)];
  (blob.handle.type == BlobType::kTree ? pack.has_trees : pack.has_data) = true;
  pack.has_raw = pack.has_raw || !blob.compressed();
  pack.used_bytes += pack_entry_size(blob);
  if (is_used && !is_duplicate) {
    ++pack.used_blobs;
    pack.used_bytes += blob.length;
    ++statistics.blobs.used;
    statistics.bytes.used += blob.length;
    keep->insert(entry);
    return;
  }
  ++pack.unused_blobs;
  pack.unused_bytes += blob.length;
  ++(is_used ? statistics.blobs.duplicate : statistics.blobs.unused);
  (is_used ? statistics.bytes.duplicate : statistics.bytes.unused) += blob.length;
}

// Turns a duplicate that was booked as unused into the copy that stays.
void Pruner::State::take(Index::EntryNumber entry) {
  const uint32_t length = repository.index().entry(entry).blob.length;
  PackUse& pack = packs[table->pack_of(entry)];
  ++pack.used_blobs;
  --pack.unused_blobs;
  pack.used_bytes += length;
  pack.unused_bytes -= length;
  ++statistics.blobs.used;
  --statistics.blobs.duplicate;
  statistics.bytes.used += length;
  statistics.bytes.duplicate -= length;
  keep->insert(entry);
}

// For each used blob, the one copy that stays.
void Pruner::State::choose_copies() {
  const Index& index = repository.index();
  const size_t entries = index.entry_count();
  keep = std::make_unique<EntrySet>(entries);
  EntrySet several(entries);  // first copies of blobs that have others
  for (Index::EntryNumber entry = 0; entry < entries; ++entry) {
    const Index::EntryNumber first = index.entry_number(index.entry(entry).blob.handle);
    if (first != entry) {
      several.insert(first);
    }
  }
  std::vector<Index::EntryNumber> duplicates;
  for (Index::EntryNumber entry = 0; entry < entries; ++entry) {
    const Index::EntryNumber first = index.entry_number(index.entry(entry).blob.handle);
    const bool is_used = used->contains(first);
    const bool is_duplicate = several.contains(first);
    count(entry, is_used, is_duplicate);
    if (is_used && is_duplicate) {
      duplicates.push_back(entry);
    }
  }
  settle_duplicates(duplicates);
}

// Prefers packs that are whole, then packs that are not marked for deletion, then packs that hold
// nothing but duplicates (an interrupted prune leaves such: going on from there they need no second
// copying), then packs that stay anyway.
void Pruner::State::settle_duplicates(std::span<const Index::EntryNumber> duplicates) {
  const Index& index = repository.index();
  std::vector<uint32_t> duplicates_in(packs.size());
  for (const Index::EntryNumber entry : duplicates) {
    ++duplicates_in[table->pack_of(entry)];
  }
  const auto merit = [&](Index::EntryNumber entry) {
    const size_t number = table->pack_of(entry);
    const PackUse& pack = packs[number];
    if (!pack.present || pack.real_size != pack.size()) {
      return -1;
    }
    if (pack.marked) {
      return 0;
    }
    if (duplicates_in[number] == table->entries(number).size()) {
      return 3;
    }
    return pack.used_blobs > 0 ? 2 : 1;
  };
  struct Copy {
    Index::EntryNumber first;
    Index::EntryNumber entry;
  };
  std::vector<Copy> copies;
  copies.reserve(duplicates.size());
  for (const Index::EntryNumber entry : duplicates) {
    copies.push_back({index.entry_number(index.entry(entry).blob.handle), entry});
  }
  std::stable_sort(copies.begin(), copies.end(),
                   [](const Copy& left, const Copy& right) { return left.first < right.first; });
  for (auto begin = copies.begin(); begin != copies.end();) {
    const auto end = std::find_if(begin, copies.end(),
                                  [&](const Copy& copy) { return copy.first != begin->first; });
    const auto best = std::max_element(begin, end, [&](const Copy& left, const Copy& right) {
      const int left_merit = merit(left.entry);
      const int right_merit = merit(right.entry);
      // Of equals the pack with the smaller id, so that alike packs are not both half used.
      return left_merit != right_merit ? left_merit < right_merit
                                       : table->pack_of(left.entry) > table->pack_of(right.entry);
    });
    take(best->entry);
    begin = end;
  }
}

// --- execution -----------------------------------------------------------------------------------

void Pruner::State::prepare_removal() {
  for (size_t i = 0; i < packs.size(); ++i) {
    const PackFate fate = plan->fates[i];
    if (fate == PackFate::kRemove || fate == PackFate::kRepack || fate == PackFate::kForget) {
      going.insert(packs[i].id);
    }
  }
  for (const UnlistedPack& pack : plan->unlisted) {
    if (!pack.only_mark) {
      going_unlisted.insert(pack.id);
    }
  }
  choose_marks();
}

// Which packs the new index marks for deletion, and which it takes back.
void Pruner::State::choose_marks() {
  const Timestamp time = LocalZone().stamp(context.clock.now());
  for (size_t i = 0; i < packs.size(); ++i) {
    const PackId& id = table->id(i);
    const bool newly = !packs[i].marked && keep_delete.count() > 0 &&
                       (plan->fates[i] == PackFate::kRemove || plan->fates[i] == PackFate::kRepack);
    if (newly) {
      marks.push_back({id, table->blobs(i), time});
      ++result.packs_marked;
    } else if (plan->fates[i] == PackFate::kWait) {
      marks.push_back(*marked_before.at(id));
      marks.back().time = marks.back().time.value_or(time);
    } else if (plan->fates[i] == PackFate::kRecover) {
      recovered.push_back({id, table->blobs(i)});
      ++result.packs_recovered;
    }
  }
  for (const UnlistedPack& pack : plan->unlisted) {
    if (pack.only_mark) {
      marks.push_back({pack.id, {}, time});
      ++result.packs_marked;
    }
  }
}

// Has a program that honours no locks made something that needs what is about to go?
void Pruner::State::look_again(Moment moment) {
  const auto changed = [moment](const std::string& what) {
    const bool indexed = moment != Moment::kBeforeOldPacksGo;
    return Error(
        ErrorCode::kFailed,
        what + " while the prune was under way, so no pack that was listed is removed",
        std::string("A program that does not honour locks is working on this repository. ") +
            (indexed ? "Run the prune again when it has finished."
                     : "When it has finished, run `salvor repair index`, which lists the "
                       "packs again, then the prune."));
  };
  for (const IndexId& file : list_index_files(context, repository)) {
    const auto place = std::lower_bound(known_index_files.begin(), known_index_files.end(), file);
    if (place != known_index_files.end() && *place == file) {
      continue;
    }
    known_index_files.insert(place, file);
    const Buffer json = repository.load_document(context, ObjectKind::kIndex, file.hex());
    decode_index(json.view(), [&](const PackId& pack, std::span<const PackedBlob> blobs) {
      if (going.contains(pack)) {
        throw changed("another program listed pack " + pack.short_hex());
      }
      if (going_unlisted.erase(pack) > 0 && moment == Moment::kBeforeOldIndexGoes) {
        context.events.on(
            Warning{"another program listed pack " + pack.hex() + " after it was removed",
                    "It had been stored without a lock while the prune was under way. Run `salvor "
                    "check`, and that program's backup again."});
      }
      repository.index().add_pack(pack, blobs);
    });
  }
  const std::vector<BlobId> roots = roots_besides(marked_snapshots);
  if (roots.empty()) {
    return;
  }
  const Index& index = repository.index();
  EntrySet needed(index.entry_count());
  mark_used_blobs(context, repository, roots, options.threads, {}, needed);
  for (Index::EntryNumber entry = 0; entry < needed.capacity(); ++entry) {
    if (!needed.contains(entry) || used->contains(entry)) {
      continue;  // what was in use is kept or copied
    }
    const std::vector<BlobLocation> copies = index.find_all(index.entry(entry).blob.handle);
    const bool stays = std::any_of(copies.begin(), copies.end(), [this](const BlobLocation& copy) {
      return !going.contains(copy.pack);
    });
    if (!stays) {
      throw changed("another program made a snapshot of data that was not in use");
    }
  }
}

// First of all, for they may be what fills a disk. One that cannot be removed does no harm.
void Pruner::State::remove_leftovers() {
  Storage& storage = repository.storage();
  for (const Leftover& leftover : leftovers) {
    try {
      storage.remove_leftovers(context, std::span(&leftover, 1));
      ++result.leftovers_removed;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      ++result.not_removed;
      context.events.on(Warning{error.message(), error.hint()});
    }
  }
}

void Pruner::State::remove_unlisted() {
  std::vector<ObjectName> objects;
  for (const PackId& pack : going_unlisted) {
    objects.push_back(pack_object(pack));
  }
  result.packs_removed += objects.size();
  const size_t failed = remove_objects(context, repository, std::move(objects));
  result.packs_removed -= failed;
  result.not_removed += failed;
}

// What was changed on the way here verifies when it is read again; a good copy in another pack will
// do too. Throws Error{kDamaged} when there is none.
void Pruner::State::read_again(const Context& inner, BlobWriter& writer) {
  BlobReader reader(repository);
  for (const PackedBlob& blob : writer.take_unverified()) {
    const Buffer plain = reader.load(inner, blob.handle);
    writer.add_copy(blob.handle.type, blob.handle.id, plain.view());
  }
  writer.flush();
}

void Pruner::State::copy_blobs(const Context& inner, BlobWriter& writer, const PackId& pack,
                               std::span<const PackedBlob> blobs) {
  const uint64_t begin = blobs.front().offset;
  const uint64_t end = uint64_t{blobs.back().offset} + blobs.back().length;
  Buffer sealed(end - begin);
  repository.storage().get_range(inner, pack_object(pack), begin, sealed.bytes());
  std::optional<BlobReader> reader;
  for (const PackedBlob& blob : blobs) {
    const bool compress =
        options.limits.repository_version >= 2 && !blob.compressed() &&
        (blob.handle.type == BlobType::kTree || options.limits.repack_uncompressed);
    if (!compress) {
      or_read_again(inner, writer, [&] {
        writer.add_sealed(blob, sealed.view(blob.offset - begin, blob.length));
      });
      continue;
    }
    if (!reader) {
      reader.emplace(repository);
    }
    Buffer plain(blob.content_length());
    if (!reader->decode(blob, sealed.view(blob.offset - begin, blob.length), plain.bytes())) {
      plain = reader->load(inner, blob.handle);
    }
    or_read_again(inner, writer,
                  [&] { writer.add_copy(blob.handle.type, blob.handle.id, plain.view()); });
  }
  progress.bytes_repacked += end - begin;
}

void Pruner::State::repack_pack(const Context& inner, BlobWriter& writer, size_t pack) {
  std::vector<PackedBlob> blobs;
  for (const Index::EntryNumber entry : table->entries(pack)) {
    if (keep->contains(entry)) {
      blobs.push_back(repository.index().entry(entry).blob);
    }
  }
  std::sort(blobs.begin(), blobs.end(), [](const PackedBlob& left, const PackedBlob& right) {
    return left.offset < right.offset;
  });
  try {
    for (size_t begin = 0; begin < blobs.size();) {
      size_t end = begin + 1;
      while (end < blobs.size()) {
        const uint64_t read_so_far = uint64_t{blobs[end - 1].offset} + blobs[end - 1].length;
        if (blobs[end].offset > read_so_far + kLargestGap ||
            uint64_t{blobs[end].offset} + blobs[end].length - blobs[begin].offset > kLargestRead) {
          break;
        }
        ++end;
      }
      inner.check_stopped();
      copy_blobs(inner, writer, table->id(pack), std::span(blobs).subspan(begin, end - begin));
      begin = end;
    }
    // Now: what does not verify must be told with its pack.
    or_read_again(inner, writer, [&] { writer.flush(); });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    throw Error(
        ErrorCode::kDamaged,
        "pack " + table->id(pack).hex() + " is damaged, so nothing was removed: " + error.message(),
        "Run `salvor check --read-data` to see what is affected and how to repair it.");
  }
  ++progress.packs_repacked;
}

void Pruner::State::repack() {
  std::vector<size_t> numbers;
  for (size_t i = 0; i < packs.size(); ++i) {
    if (plan->fates[i] == PackFate::kRepack) {
      numbers.push_back(i);
    }
  }
  progress.packs_to_repack = numbers.size();
  if (numbers.empty()) {
    return;
  }
  WriteSession session(context, repository, options.write);
  {
    std::atomic<size_t> next = 0;  // outlives the tasks
    ThreadPool pool("salvor-repack", options.threads);
    TaskGroup group(pool, context.stop);
    for (unsigned i = 0; i < options.threads; ++i) {
      group.run([this, &session, &numbers, &next, inner = context.with_stop(group.stop_token())] {
        const std::unique_ptr<BlobWriter> writer = session.make_writer();
        for (size_t at = next++; at < numbers.size(); at = next++) {
          repack_pack(inner, *writer, numbers[at]);
        }
      });
    }
    group.wait();
  }
  session.finish(context);
  result.packs_written = session.counters().packs;
}

void Pruner::State::replace_index() {
  const bool marks_change = result.packs_marked > 0 || marks.size() != marked_before.size();
  if (going.empty() && !marks_change) {
    return;
  }
  const std::vector<IndexId> files = list_index_files(context, repository);
  const std::vector<IndexId> obsolete = rewrite_index(
      context, repository, files, [this](const PackId& pack) { return going.contains(pack); },
      {.extra = recovered, .marked = &marks, .confirm_lock = options.write.confirm_lock});
  look_again(Moment::kBeforeOldIndexGoes);
  confirm();
  std::vector<ObjectName> objects;
  for (const IndexId& file : obsolete) {
    objects.push_back(index_object(file));
  }
  result.index_files_removed = objects.size();
  if (remove_objects(context, repository, std::move(objects)) > 0) {
    throw Error(ErrorCode::kFailed, "old index files cannot be removed, so the packs stay",
                "Nothing is lost: run the prune again when the cause is gone.");
  }
}

// With no room for a new index beside the old one.
void Pruner::State::recreate_index() {
  const std::vector<IndexId> files = list_index_files(context, repository);
  confirm();
  std::vector<ObjectName> objects;
  for (const IndexId& file : files) {
    objects.push_back(index_object(file));
  }
  result.index_files_removed = objects.size();
  if (remove_objects(context, repository, std::move(objects)) > 0) {
    throw Error(ErrorCode::kFailed, "old index files cannot be removed, so the packs stay",
                "Run `salvor repair index` when the cause is gone: some index files are removed "
                "already.");
  }
  remove_packs();
  IndexWriter writer(context, repository);
  for (size_t i = 0; i < packs.size(); ++i) {
    if (plan->fates[i] == PackFate::kKeep || plan->fates[i] == PackFate::kRecover) {
      writer.add(table->id(i), table->blobs(i));
    }
  }
  (void)writer.finish();
}

void Pruner::State::remove_packs() {
  confirm();
  std::vector<ObjectName> objects;
  for (size_t i = 0; i < packs.size(); ++i) {
    const bool unneeded =
        plan->fates[i] == PackFate::kRemove || plan->fates[i] == PackFate::kRepack;
    if (unneeded && (packs[i].marked || keep_delete.count() == 0)) {
      objects.push_back(pack_object(table->id(i)));
    }
  }
  result.packs_removed += objects.size();
  const size_t failed = remove_objects(context, repository, std::move(objects));
  result.packs_removed -= failed;
  result.not_removed += failed;
}

// -------------------------------------------------------------------------------------------------

Pruner::Pruner(const Context& context, Repository& repository, PruneOptions options)
    : state_(std::make_unique<State>(context, repository, std::move(options))) {}

Pruner::~Pruner() = default;

const PrunePlan& Pruner::plan() {
  State& state = *state_;
  if (state.options.limits.repack_uncompressed && state.options.limits.repository_version < 2) {
    throw Error(ErrorCode::kUsage, "compression needs a repository of version 2",
                "Run `salvor migrate upgrade_repo_v2` first.");
  }
  state.load();
  state.mark();
  state.list_packs();
  state.find_leftovers();
  state.choose_copies();
  state.plan = decide_prune(state.packs, state.unlisted, state.options.limits, state.statistics);
  state.find_locked();
  return *state.plan;
}

const std::vector<Leftover>& Pruner::leftovers() const {
  return state_->leftovers;
}

const LockedPacks& Pruner::locked() const {
  return state_->locked;
}

std::chrono::seconds Pruner::keep_delete() const {
  return state_->keep_delete;
}

const PackId& Pruner::pack(size_t number) const {
  return state_->table->id(number);
}

PruneResult Pruner::execute() {
  State& state = *state_;
  state.prepare_removal();
  state.look_again(State::Moment::kBeforeAnything);
  state.confirm();
  state.remove_leftovers();
  state.remove_unlisted();
  if (state.options.recover_no_free_space) {
    state.recreate_index();
    return state.result;
  }
  state.repack();
  state.replace_index();
  if (!state.going.empty()) {
    state.look_again(State::Moment::kBeforeOldPacksGo);
  }
  state.remove_packs();
  return state.result;
}

}  // namespace salvor
