#include "engine/maintenance/index_rewriter.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "base/task.h"
#include "codec/index_codec.h"
#include "repo/repository.h"

namespace salvor {
namespace {

constexpr size_t kIndexFullBlobs = 50000;  // as restic; a file of about 8 MiB of JSON
// Each command reads every index file: so many small ones are worth merging.
constexpr size_t kSmallFileBlobs = 5000;
constexpr size_t kMostSmallFiles = 8;
constexpr size_t kKeptBytes = size_t{16} << 20;  // of files that are read in order to be rewritten

struct FileFacts {
  IndexId id;
  size_t blobs = 0;
  bool lists_dropped = false;
  bool has_marks = false;
  Buffer json;  // empty: read it again
};

// Reads every file once.
std::vector<FileFacts> look_at(const Context& context, const Repository& repository,
                               std::span<const IndexId> files,
                               const std::function<bool(const PackId&)>& drop) {
  std::vector<FileFacts> facts(files.size());
  std::atomic<size_t> kept = 0;
  const auto look = [&](const Context& inner, FileFacts& fact) {
    fact.json = repository.load_document(inner, ObjectKind::kIndex, fact.id.hex());
    decode_index(
        fact.json.view(),
        [&](const PackId& pack, std::span<const PackedBlob> blobs) {
          fact.blobs += blobs.size();
          fact.lists_dropped = fact.lists_dropped || drop(pack);
        },
        [&](const MarkedPack&) { fact.has_marks = true; });
    if (kept.fetch_add(fact.json.size()) > kKeptBytes) {
      fact.json = Buffer();
    }
  };
  const StorageTraits traits = repository.storage().traits();
  ThreadPool pool("salvor-index", std::max(2U, traits.remote ? traits.connections : 0));
  TaskGroup group(pool, context.stop);
  for (size_t i = 0; i < files.size(); ++i) {
    facts[i].id = files[i];
    group.run([&look, &fact = facts[i], inner = context.with_stop(group.stop_token())] {
      look(inner, fact);
    });
  }
  group.wait();
  return facts;
}

}  // namespace

struct IndexWriter::State {
  const Context context;
  const Repository& repository;
  const std::function<void(const Context&)> confirm_lock;
  IndexEncoder encoder;
  size_t blobs = 0;
  std::vector<IndexId> written;
};

IndexWriter::IndexWriter(const Context& context, const Repository& repository,
                         std::function<void(const Context&)> confirm_lock)
    : state_(new State{context, repository, std::move(confirm_lock), {}, 0, {}}) {}

IndexWriter::~IndexWriter() = default;

void IndexWriter::add(const PackId& pack, std::span<const PackedBlob> blobs) {
  state_->encoder.add_pack(pack, blobs);
  state_->blobs += blobs.size();
  if (state_->blobs >= kIndexFullBlobs) {
    store();
  }
}

void IndexWriter::add_marked(const MarkedPack& pack) {
  state_->encoder.add_marked(pack);
  state_->blobs += pack.blobs.size();
  if (state_->blobs >= kIndexFullBlobs) {
    store();
  }
}

void IndexWriter::store() {
  if (state_->encoder.empty()) {
    return;
  }
  const std::string json = state_->encoder.finish();
  if (state_->confirm_lock) {
    state_->confirm_lock(state_->context);
  }
  state_->written.push_back(*IndexId::parse(
      state_->repository.save_document(state_->context, ObjectKind::kIndex, as_bytes(json))));
  state_->encoder = IndexEncoder();
  state_->blobs = 0;
}

std::vector<IndexId> IndexWriter::finish() {
  store();
  return std::move(state_->written);
}

uint64_t blob_list_mark(std::span<const PackedBlob> blobs) {
  uint64_t sum = blobs.size();
  for (const PackedBlob& blob : blobs) {
    uint64_t mix = BlobHandleHash()(blob.handle) ^ (uint64_t{blob.offset} << 32 | blob.length);
    mix = (mix ^ blob.plain_length) * 0x9e3779b97f4a7c15U;
    sum += mix ^ (mix >> 29);
  }
  return sum;
}

std::vector<IndexId> rewrite_index(const Context& context, const Repository& repository,
                                   std::span<const IndexId> files,
                                   const std::function<bool(const PackId&)>& drop,
                                   const IndexRewriteOptions& options) {
  std::vector<FileFacts> facts = look_at(context, repository, files, drop);
  const auto small =
      static_cast<size_t>(std::count_if(facts.begin(), facts.end(), [](const FileFacts& fact) {
        return fact.blobs < kSmallFileBlobs;
      }));
  const bool merge_small = small > kMostSmallFiles;
  const auto goes = [&](const FileFacts& fact) {
    return options.rewrite_all || fact.lists_dropped || (fact.has_marks && options.marked) ||
           (merge_small && fact.blobs < kSmallFileBlobs);
  };
  const bool adds = !options.extra.empty() || (options.marked && !options.marked->empty());
  if (!adds && std::none_of(facts.begin(), facts.end(), goes)) {
    return {};
  }

  // A pack that a file which stays lists already is not listed again; nor is one that two of the
  // others list alike.
  std::set<std::pair<PackId, uint64_t>> listed;
  std::vector<IndexId> obsolete;
  IndexWriter writer(context, repository, options.confirm_lock);
  for (const bool staying : {true, false}) {
    for (FileFacts& fact : facts) {
      if (goes(fact) == staying) {
        continue;
      }
      context.check_stopped();
      if (fact.json.empty()) {
        fact.json = repository.load_document(context, ObjectKind::kIndex, fact.id.hex());
      }
      decode_index(
          fact.json.view(),
          [&](const PackId& pack, std::span<const PackedBlob> blobs) {
            if (!drop(pack) && listed.emplace(pack, blob_list_mark(blobs)).second && !staying) {
              writer.add(pack, blobs);
            }
          },
          [&](const MarkedPack& pack) {
            if (!staying && options.marked == nullptr) {
              writer.add_marked(pack);
            }
          });
      fact.json = Buffer();
      if (!staying) {
        obsolete.push_back(fact.id);
      }
    }
  }
  for (const ListedPack& pack : options.extra) {
    if (listed.emplace(pack.id, blob_list_mark(pack.blobs)).second) {
      writer.add(pack.id, pack.blobs);
    }
  }
  if (options.marked != nullptr) {
    for (const MarkedPack& pack : *options.marked) {
      writer.add_marked(pack);
    }
  }
  (void)writer.finish();
  return obsolete;
}

std::vector<IndexId> list_index_files(const Context& context, const Repository& repository) {
  std::vector<IndexId> files;
  repository.storage().list(context, ObjectKind::kIndex, [&](const ObjectInfo& info) {
    files.push_back(*IndexId::parse(info.name));
  });
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace salvor
