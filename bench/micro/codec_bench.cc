// Speed of the text formats and of the compression heuristic. Every run checks its result.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/random.h"
#include "codec/documents.h"
#include "codec/index_codec.h"
#include "codec/pack_header.h"
#include "codec/tree_codec.h"
#include "codec/zstd.h"

namespace salvor {
namespace {

template <class IdType>
IdType random_id(Random& random) {
  Digest digest;
  random.fill(digest);
  return IdType(digest);
}

// What a home directory looks like: short names, one blob a file, times with nanoseconds.
Tree make_tree(size_t count) {
  SeededRandom random(7);
  Tree tree;
  for (size_t i = 0; i < count; ++i) {
    Node& node = tree.nodes.emplace_back();
    std::string number = std::to_string(i);
    node.name =
        "IMG_" + std::string(8 - number.size(), '0') + number + (i % 3 == 0 ? ".jpeg" : ".xmp");
    node.mode = 0644;
    node.mtime = {1'700'000'000 + static_cast<int64_t>(i * 37),
                  static_cast<uint32_t>(random.next_u64() % 1'000'000'000), 3600};
    node.atime = node.mtime;
    node.ctime = {node.mtime.seconds + 60, node.mtime.nanoseconds, 3600};
    node.uid = 1000;
    node.gid = 1000;
    node.user = "alice";
    node.group = "alice";
    node.inode = 10'000'000 + i;
    node.device_id = 65024;
    node.size = random.next_u64() % 900'000;
    node.links = 1;
    node.content.push_back(random_id<BlobId>(random));
  }
  return tree;
}

void set_speed(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(static_cast<size_t>(state.iterations()) * bytes));
}

// As the archiver uses it: one encoder a tree.
void tree_encode(benchmark::State& state) {
  const Tree tree = make_tree(static_cast<size_t>(state.range(0)));
  const std::string expected = encode_tree(tree);
  for (auto _ : state) {
    TreeEncoder encoder;
    for (const Node& node : tree.nodes) {
      encoder.add(node);
    }
    if (encoder.finish_buffer().size() != expected.size()) {
      state.SkipWithError("wrong tree");
    }
  }
  set_speed(state, expected.size());
}
BENCHMARK(tree_encode)->Arg(30)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

void tree_decode(benchmark::State& state) {
  const Tree tree = make_tree(static_cast<size_t>(state.range(0)));
  const std::string blob = encode_tree(tree);
  TreeDecoder decoder;
  for (auto _ : state) {
    if (decoder.decode(as_bytes(blob)).nodes.size() != tree.nodes.size()) {
      state.SkipWithError("wrong tree");
    }
  }
  if (decoder.decode(as_bytes(blob)).nodes != tree.nodes) {
    state.SkipWithError("wrong tree");
  }
  set_speed(state, blob.size());
}

void tree_decode_any_form(benchmark::State& state) {
  const std::string blob = encode_tree(make_tree(static_cast<size_t>(state.range(0))));
  TreeDecoder decoder;
  for (auto _ : state) {
    if (decoder.decode_any_form(as_bytes(blob)).nodes.size() !=
        static_cast<size_t>(state.range(0))) {
      state.SkipWithError("wrong tree");
    }
  }
  set_speed(state, blob.size());
}
BENCHMARK(tree_decode_any_form)->Arg(1'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(tree_decode)->Arg(30)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

std::string make_index(size_t blobs) {
  SeededRandom random(8);
  IndexEncoder encoder;
  std::vector<PackedBlob> pack;
  for (size_t i = 0; i < blobs; ++i) {
    PackedBlob& blob = pack.emplace_back();
    blob.handle.id = random_id<BlobId>(random);
    blob.offset = static_cast<uint32_t>(random.next_u64() % 16'000'000);
    blob.length = 32 + static_cast<uint32_t>(random.next_u64() % 800'000);
    blob.plain_length = blob.length * 2;
    if (pack.size() == 50) {
      encoder.add_pack(random_id<PackId>(random), pack);
      pack.clear();
    }
  }
  return encoder.finish();
}

void index_decode(benchmark::State& state) {
  const std::string text = make_index(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    size_t blobs = 0;
    decode_index(as_bytes(text),
                 [&](const PackId&, std::span<const PackedBlob> pack) { blobs += pack.size(); });
    if (blobs != static_cast<size_t>(state.range(0))) {
      state.SkipWithError("wrong index");
    }
  }
  set_speed(state, text.size());
}
BENCHMARK(index_decode)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

void index_encode(benchmark::State& state) {
  std::vector<std::pair<PackId, std::vector<PackedBlob>>> packs;
  const std::string expected = make_index(100'000);
  decode_index(as_bytes(expected), [&](const PackId& id, std::span<const PackedBlob> pack) {
    packs.emplace_back(id, std::vector<PackedBlob>(pack.begin(), pack.end()));
  });
  for (auto _ : state) {
    IndexEncoder encoder;
    for (const auto& [id, blobs] : packs) {
      encoder.add_pack(id, blobs);
    }
    if (encoder.finish() != expected) {
      state.SkipWithError("wrong index");
    }
  }
  set_speed(state, expected.size());
}
BENCHMARK(index_encode)->Unit(benchmark::kMicrosecond);

void snapshot_decode(benchmark::State& state) {
  SeededRandom random(9);
  Snapshot snapshot;
  snapshot.tree = random_id<BlobId>(random);
  snapshot.parent = random_id<SnapshotId>(random);
  snapshot.paths = {"/home/alice", "/etc", "/var/lib"};
  snapshot.hostname = "host";
  snapshot.username = "root";
  snapshot.tags = {"nightly"};
  snapshot.program_version = "restic 0.19.1";
  snapshot.summary.emplace();
  const std::string text = encode_snapshot(snapshot);
  for (auto _ : state) {
    if (decode_snapshot(as_bytes(text)) != snapshot) {
      state.SkipWithError("wrong snapshot");
    }
  }
  set_speed(state, text.size());
}
BENCHMARK(snapshot_decode)->Unit(benchmark::kMicrosecond);

Buffer random_blob(size_t size) {
  Buffer blob(size);
  SeededRandom(11).fill(blob.bytes());
  return blob;
}

Buffer text_blob(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) {
    text += std::to_string(i * 7919) + " the quick brown fox jumps over the lazy dog\n";
  }
  text.resize(size);
  return Buffer::copy_of(as_bytes(text));
}

void compress_level_3(benchmark::State& state, const Buffer& blob) {
  Compressor compressor;
  Buffer out;
  for (auto _ : state) {
    compressor.compress(blob.view(), 3, out);
    benchmark::DoNotOptimize(out.data());
  }
  set_speed(state, blob.size());
}
BENCHMARK_CAPTURE(compress_level_3, random, random_blob(1 << 20));
BENCHMARK_CAPTURE(compress_level_3, text, text_blob(1 << 20));

void judge(benchmark::State& state, const Buffer& blob, bool expected) {
  Compressor compressor;
  for (auto _ : state) {
    if (compressor.looks_incompressible(blob.view()) != expected) {
      state.SkipWithError("wrong judgement");
    }
  }
}
BENCHMARK_CAPTURE(judge, random_1m, random_blob(1 << 20), true);
BENCHMARK_CAPTURE(judge, random_64k, random_blob(64 << 10), true);
BENCHMARK_CAPTURE(judge, text_1m, text_blob(1 << 20), false);

void decompress(benchmark::State& state) {
  const Buffer blob = text_blob(1 << 20);
  Buffer packed;
  Compressor().compress(blob.view(), 3, packed);
  Decompressor decompressor;
  Buffer out(blob.size());
  for (auto _ : state) {
    if (!decompressor.decompress(packed.view(), out.bytes())) {
      state.SkipWithError("wrong blob");
    }
  }
  if (!std::ranges::equal(out.view(), blob.view())) {
    state.SkipWithError("wrong blob");
  }
  set_speed(state, blob.size());
}
BENCHMARK(decompress);

}  // namespace
}  // namespace salvor
