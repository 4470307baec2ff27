#include "engine/copies/replicator.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/task.h"
#include "engine/maintenance/damage.h"
#include "engine/maintenance/used_blobs.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// Blobs of a pack at most this far apart are read together.
constexpr uint64_t kLargestGap = 256 << 10;
constexpr uint64_t kLargestRead = 4 << 20;
// Plaintext that is decoded before it is hashed and handed on.
constexpr size_t kPlainBatch = size_t{2} << 20;
// A batch of snapshots ends, as restic's, when it is both this large and this old. Snapshots
// become visible batch by batch, so this bounds what an interrupted copy must look at again.
constexpr uint64_t kBatchPacks = 100;
constexpr std::chrono::minutes kBatchAge{1};

bool has_all(const std::vector<std::string>& all, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  });
}

bool similar(const Snapshot& left, const Snapshot& right) {
  return left.time.same_instant(right.time) && left.tree == right.tree &&
         left.hostname == right.hostname && left.username == right.username &&
         left.uid == right.uid && left.gid == right.gid && left.excludes == right.excludes &&
         left.paths.size() == right.paths.size() && left.tags.size() == right.tags.size() &&
         has_all(left.paths, right.paths) && has_all(left.tags, right.tags);
}

// Runs `read`; damage that it meets is the source's.
auto from_source(const auto& read) {
  try {
    return read();
  } catch (const Error& error) {
    if (is_damage(error)) {
      throw SourceDamaged(error);
    }
    throw;
  }
}

}  // namespace

const StoredSnapshot* find_copy(std::span<const StoredSnapshot> target,
                                const StoredSnapshot& source) {
  const SnapshotId wanted = source.snapshot.original.value_or(source.id);
  for (const StoredSnapshot& stored : target) {
    if ((stored.id == wanted || stored.snapshot.original == wanted) &&
        similar(stored.snapshot, source.snapshot)) {
      return &stored;
    }
  }
  return nullptr;
}

struct Replicator::State {
  struct Placed {
    uint32_t pack_number;
    Index::EntryNumber entry;
    PackedBlob blob;
  };

  State(const Context& outer, const Repository& from, Repository& to, CopyOptions copy_options)
      : context(outer),
        source(from),
        target(to),
        options(std::move(copy_options)),
        visited(source.index().entry_count()) {
    options.write.confirm_packs = options.confirm;
    const Index& index = source.index();
    for (Index::EntryNumber entry = 0; entry < visited.capacity(); ++entry) {
      const BlobHandle handle = index.entry(entry).blob.handle;
      if (index.entry_number(handle) == entry && !target.index().contains(handle)) {
        absent.push_back(entry);
      }
    }
  }

  [[nodiscard]] std::vector<Placed> find_needed(const BlobId& tree);
  void copy_blobs(WriteSession& session, std::span<const Placed> blobs);
  void copy_range(const Context& inner, BlobReader& reader, BlobWriter& writer,
                  std::span<const Placed> blobs);
  void pass_on(const Context& inner, BlobReader& reader, BlobWriter& writer,
               std::span<const Placed> blobs, ByteView sealed, uint64_t sealed_begin);
  uint64_t copy_one(WriteSession& session, const StoredSnapshot& snapshot);
  void save(std::span<const StoredSnapshot> batch);

  const Context context;
  const Repository& source;
  Repository& target;
  CopyOptions options;
  CopyProgress own_progress;
  CopyProgress& progress = options.progress != nullptr ? *options.progress : own_progress;
  EntrySet visited;                        // reached by snapshots handled so far
  std::vector<Index::EntryNumber> absent;  // from the target, and not visited yet
};

// What the tree adds to what was copied before, in order of place. A tree that the target has is
// walked all the same: it may have lost what is below.
std::vector<Replicator::State::Placed> Replicator::State::find_needed(const BlobId& tree) {
  TreeWalkHandlers handlers;
  handlers.trees_read = &progress.trees;
  from_source(
      [&] { mark_used_blobs(context, source, {&tree, 1}, options.threads, handlers, visited); });
  const Index& index = source.index();
  std::vector<Placed> needed;
  std::erase_if(absent, [&](Index::EntryNumber entry) {
    if (!visited.contains(entry)) {
      return false;
    }
    needed.push_back({index.pack_number_of(entry), entry, index.entry(entry).blob});
    return true;
  });
  std::sort(needed.begin(), needed.end(), [](const Placed& left, const Placed& right) {
    return left.pack_number != right.pack_number ? left.pack_number < right.pack_number
                                                 : left.blob.offset < right.blob.offset;
  });
  return needed;
}

void Replicator::State::pass_on(const Context& inner, BlobReader& reader, BlobWriter& writer,
                                std::span<const Placed> blobs, ByteView sealed,
                                uint64_t sealed_begin) {
  const auto plain_length = [&](const Placed& placed) {
    return sealed.empty() || is_large(placed.blob) ? 0 : placed.blob.content_length();
  };
  size_t plain_bytes = 0;
  for (const Placed& placed : blobs) {
    plain_bytes += plain_length(placed);
  }
  Buffer plain(plain_bytes);
  std::vector<ByteView> messages;
  std::vector<bool> decoded;
  size_t begin = 0;
  for (const Placed& placed : blobs) {
    const MutableBytes bytes = plain.bytes().subspan(begin, plain_length(placed));
    begin += bytes.size();
    decoded.push_back(
        !sealed.empty() && !is_large(placed.blob) &&
        reader.decode(placed.blob,
                      sealed.subspan(placed.blob.offset - sealed_begin, placed.blob.length),
                      bytes));
    messages.push_back(bytes);
  }
  const std::vector<Digest> digests = writer.hash(messages);
  for (size_t i = 0; i < blobs.size(); ++i) {
    const BlobHandle& handle = blobs[i].blob.handle;
    if (decoded[i] && digests[i] == handle.id.digest()) {
      writer.add(handle.type, handle.id, messages[i]);
    } else {
      // Another copy may be good; throws when there is none.
      const Buffer good = from_source([&] { return reader.load(inner, handle); });
      writer.add(handle.type, handle.id, good.view());
    }
    ++progress.blobs_copied;
    progress.bytes_copied += blobs[i].blob.length;
  }
}

void Replicator::State::copy_range(const Context& inner, BlobReader& reader, BlobWriter& writer,
                                   std::span<const Placed> blobs) {
  const uint64_t begin = blobs.front().blob.offset;
  const uint64_t end = uint64_t{blobs.back().blob.offset} + blobs.back().blob.length;
  // Large blobs are read one by one, with care.
  const bool large = std::any_of(blobs.begin(), blobs.end(),
                                 [](const Placed& placed) { return is_large(placed.blob); });
  Buffer sealed(large ? 0 : end - begin);
  try {
    const PackId pack = source.index().entry(blobs.front().entry).pack;
    if (!large) {
      source.storage().get_range(inner, pack_object(pack), begin, sealed.bytes());
    }
  } catch (const Error& error) {
    if (!is_damage(error)) {
      throw;
    }
    sealed.resize(0);
  }
  for (size_t first = 0; first < blobs.size();) {
    size_t last = first;
    for (size_t bytes = 0; last < blobs.size() && bytes < kPlainBatch; ++last) {
      bytes += blobs[last].blob.content_length();
    }
    inner.check_stopped();
    pass_on(inner, reader, writer, blobs.subspan(first, last - first), sealed.view(), begin);
    first = last;
  }
}

void Replicator::State::copy_blobs(WriteSession& session, std::span<const Placed> blobs) {
  std::vector<std::span<const Placed>> ranges;
  for (size_t begin = 0; begin < blobs.size();) {
    const Placed& first = blobs[begin];
    size_t end = begin + 1;
    while (end < blobs.size() && blobs[end].pack_number == first.pack_number) {
      const PackedBlob& last = blobs[end - 1].blob;
      const PackedBlob& next = blobs[end].blob;
      if (next.offset > uint64_t{last.offset} + last.length + kLargestGap ||
          uint64_t{next.offset} + next.length - first.blob.offset > kLargestRead) {
        break;
      }
      ++end;
    }
    ranges.push_back(blobs.subspan(begin, end - begin));
    begin = end;
  }
  std::atomic<size_t> next = 0;  // outlives the tasks
  ThreadPool pool("salvor-copy", options.threads);
  TaskGroup group(pool, context.stop);
  for (unsigned i = 0; i < options.threads; ++i) {
    group.run([this, &session, &next, &ranges, inner = context.with_stop(group.stop_token())] {
      BlobReader reader(source);
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      for (size_t range = next++; range < ranges.size(); range = next++) {
        inner.check_stopped();
        copy_range(inner, reader, *writer, ranges[range]);
      }
      writer->flush();
    });
  }
  group.wait();
}

// Returns the stored bytes that it copied.
uint64_t Replicator::State::copy_one(WriteSession& session, const StoredSnapshot& snapshot) {
  context.check_stopped();
  if (options.on_start) {
    options.on_start(snapshot);
  }
  const std::vector<Placed> needed = find_needed(snapshot.snapshot.tree);
  uint64_t bytes = 0;
  for (const Placed& placed : needed) {
    bytes += placed.blob.length;
  }
  progress.blobs += needed.size();
  progress.bytes += bytes;
  if (options.on_planned) {
    options.on_planned(snapshot, needed.size(), bytes);
  }
  if (!needed.empty()) {
    copy_blobs(session, needed);
  }
  return bytes;
}

void Replicator::State::save(std::span<const StoredSnapshot> batch) {
  for (const StoredSnapshot& stored : batch) {
    Snapshot copy = stored.snapshot;
    copy.parent.reset();
    if (!copy.original) {
      copy.original = stored.id;
    }
    context.check_stopped();
    if (options.write.confirm_lock) {
      options.write.confirm_lock(context);
    }
    const SnapshotId id = target.save_snapshot(context, copy);
    if (options.confirm) {
      BlobReader reader(target);
      (void)reader.load_tree(context, target.load_snapshot(context, id).tree);
    }
    if (options.on_saved) {
      options.on_saved(stored, id);
    }
  }
}

Replicator::Replicator(const Context& context, const Repository& source, Repository& target,
                       CopyOptions options)
    : state_(std::make_unique<State>(context, source, target, std::move(options))) {}

Replicator::~Replicator() = default;

void Replicator::copy(std::span<const StoredSnapshot> snapshots) {
  State& state = *state_;
  const uint64_t batch_bytes = kBatchPacks * state.options.write.pack_size_bytes;
  for (size_t begin = 0; begin < snapshots.size();) {
    const auto started = state.context.clock.monotonic();
    size_t end = begin;
    WriteSession session(state.context, state.target, state.options.write);
    uint64_t bytes = 0;
    while (end < snapshots.size() &&
           (bytes < batch_bytes || state.context.clock.monotonic() - started < kBatchAge)) {
      try {
        bytes += state.copy_one(session, snapshots[end]);
      } catch (SourceDamaged& damaged) {
        damaged.snapshot = snapshots[end].id;
        throw;
      }
      ++end;
    }
    session.finish(state.context);
    state.save(snapshots.subspan(begin, end - begin));
    begin = end;
  }
}

std::vector<SourceDamaged> copy_what_is_whole(const Context& context, const Repository& source,
                                              Repository& target, const CopyOptions& options,
                                              std::span<const StoredSnapshot> snapshots) {
  std::vector<StoredSnapshot> left(snapshots.begin(), snapshots.end());
  const auto done_with = [&left](const SnapshotId& id) {
    std::erase_if(left, [&](const StoredSnapshot& one) { return one.id == id; });
  };
  std::vector<SourceDamaged> lost;
  while (!left.empty()) {
    std::vector<SnapshotId> saved;
    CopyOptions watched = options;
    watched.on_saved = [&](const StoredSnapshot& stored, const SnapshotId& id) {
      saved.push_back(stored.id);
      if (options.on_saved) {
        options.on_saved(stored, id);
      }
    };
    try {
      Replicator(context, source, target, watched).copy(left);
      break;
    } catch (const SourceDamaged& damaged) {
      lost.push_back(damaged);
    }
    std::ranges::for_each(saved, done_with);
    done_with(lost.back().snapshot);
    target.load_index(context);  // with what it was given before that
  }
  return lost;
}

Error not_all_copied(std::span<const SourceDamaged> lost, size_t all) {
  const SourceDamaged& first = lost.front();
  return {ErrorCode::kDamaged,
          fmt::format("{} of {} snapshots cannot be copied; {}: {}", lost.size(), all,
                      first.snapshot.short_hex(), first.message()),
          std::string(lost.size() < all ? "The others have been copied. " : "") +
              "`salvor check --read-data` names what is damaged and what to do; a snapshot that "
              "nothing mends is removed by `salvor forget ID`."};
}

}  // namespace salvor
