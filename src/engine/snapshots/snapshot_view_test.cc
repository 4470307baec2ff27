#include "engine/snapshots/snapshot_view.h"

#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/index_codec.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::SmallRepository;
using test::some_content;
using ::testing::ElementsAre;

constexpr int64_t kTime = 1700000000;  // 2023-11-14T22:13:20Z

class SnapshotViews : public ::testing::Test {
 protected:
  std::unique_ptr<SnapshotView> open(std::chrono::seconds refresh = std::chrono::hours(1)) {
    mounted_ = repository_.reopen();
    SnapshotViewOptions options;
    options.layout.time_template = "%M-%S";
    options.blob_cache_bytes = 1500;
    options.tree_cache_entries = 1;
    options.refresh_after = refresh;
    return std::make_unique<SnapshotView>(repository_.context(), *mounted_, options);
  }
  SnapshotId save(const test::Files& files, int64_t time, const std::string& host,
                  std::vector<std::string> tags) {
    Snapshot snapshot =
        repository_.repository().load_snapshot(repository_.context(), repository_.backup(files));
    for (const ObjectInfo& info : repository_.list(ObjectKind::kSnapshot)) {
      if (!kept_.contains(info.name)) {
        repository_.storage().remove(repository_.context(), {ObjectKind::kSnapshot, info.name});
      }
    }
    snapshot.time = {time, 0, 0};
    snapshot.hostname = host;
    snapshot.tags = std::move(tags);
    const SnapshotId id = repository_.save(snapshot).id;
    kept_.insert(id.hex());
    return id;
  }
  static std::vector<std::string> names(SnapshotView& view, std::string_view path) {
    std::vector<std::string> result;
    const std::vector<Node> nodes = view.list(path).value();
    for (const Node& node : nodes) {
      result.push_back(node.name);
    }
    return result;
  }

  SmallRepository repository_;
  std::unique_ptr<Repository> mounted_;
  std::set<std::string> kept_;
};

TEST_F(SnapshotViews, ShowSnapshotsByIdTimeHostAndTag) {
  const SnapshotId first = save({{"a", "1"}}, kTime, "h/1", {"t"});
  save({{"a", "2"}}, kTime, "h/1", {});
  save({{"a", "3"}}, kTime + 9, "x", {"t"});
  const auto shown = open();
  EXPECT_THAT(names(*shown, "/"), ElementsAre("hosts", "ids", "snapshots", "tags"));
  EXPECT_THAT(names(*shown, "/snapshots"), ElementsAre("13-20", "13-20-1", "13-29", "latest"));
  EXPECT_THAT(names(*shown, "/hosts"), ElementsAre("h_1", "x"));
  EXPECT_THAT(names(*shown, "/hosts/h_1"), ElementsAre("13-20", "13-20-1", "latest"));
  EXPECT_THAT(names(*shown, "/tags"), ElementsAre("t"));
  EXPECT_THAT(names(*shown, "/tags/t"), ElementsAre("13-20", "13-29", "latest"));
  EXPECT_THAT(names(*shown, "/ids/" + first.short_hex()), ElementsAre("a"));
  EXPECT_EQ(shown->find("/snapshots/latest")->link_target, "13-29");
  EXPECT_EQ(shown->find("/hosts/h_1/latest")->link_target, "13-20-1");
  EXPECT_EQ(shown->find("//snapshots//13-29/a/")->type, NodeType::kFile);
  EXPECT_EQ(shown->find("/ids")->type, NodeType::kDir);
  for (const char* none : {"/nothing", "/ids/00000000", "/snapshots/13-29/b",
                           "/snapshots/13-29/a/below", "/snapshots/latest/a"}) {
    EXPECT_FALSE(shown->find(none).has_value()) << none;
  }
  EXPECT_FALSE(shown->list("/nothing").has_value());
  EXPECT_FALSE(shown->list("/snapshots/13-29/a").has_value());
  EXPECT_FALSE(shown->list("/snapshots/latest").has_value());
}

TEST_F(SnapshotViews, ADamagedSnapshotHidesNoOther) {
  save({{"a", "1"}}, kTime, "h", {});
  const std::string broken = std::string(64, 'b');
  repository_.storage().put(repository_.context(), {ObjectKind::kSnapshot, broken},
                            as_bytes("broken"));
  EXPECT_THAT(names(*open(), "/snapshots"), ElementsAre("13-20", "latest"));
  EXPECT_EQ(repository_.test_context().events.events().size(), 1U);
}

// It is told once, and is no change: loading the index of a large repository takes minutes.
TEST_F(SnapshotViews, ADamagedSnapshotDoesNotMakeEveryRefreshLoadTheIndex) {
  save({{"a", "1"}}, kTime, "h", {});
  const auto damage = [&](char name) {
    repository_.storage().put(repository_.context(), {ObjectKind::kSnapshot, std::string(64, name)},
                              as_bytes("broken"));
  };
  const auto told = [&] { return repository_.test_context().events.events().size(); };
  damage('b');
  const auto shown = open(std::chrono::seconds(0));
  damage('c');
  EXPECT_TRUE(shown->find("/snapshots/13-20/a").has_value());
  EXPECT_EQ(told(), 2U) << "one that was damaged later";
  for (const ObjectInfo& info : repository_.list(ObjectKind::kIndex)) {
    repository_.storage().remove(repository_.context(), {ObjectKind::kIndex, info.name});
  }
  const Node file = shown->find("/snapshots/13-20/a").value();
  EXPECT_EQ(shown->content_size(file), 1U) << "by the index as it was";
  EXPECT_EQ(told(), 2U);
}

TEST_F(SnapshotViews, ReadAnyRangeOfAFile) {
  const std::string content = some_content(1, 4300);  // five blobs, more than the cache holds
  save({{"d/file", content}}, kTime, "h", {});
  const auto shown = open();
  const Node file = shown->find("/snapshots/13-20/d/file").value();
  EXPECT_EQ(shown->content_size(file), content.size());
  for (size_t from = 0; from <= content.size() + 500; from += 211) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{999}, size_t{2001}, size_t{9000}}) {
      Buffer out(size);
      const size_t count = shown->read(file, from, out.bytes());
      const std::string expected = from < content.size() ? content.substr(from, size) : "";
      ASSERT_EQ(as_text(out.view().first(count)), expected) << from << " " << size;
    }
  }
}

TEST_F(SnapshotViews, NewSnapshotsAppearWhenTheListIsOld) {
  save({{"a", "1"}}, kTime, "h", {});
  auto shown = open();
  save({{"a", "2"}}, kTime + 1, "h", {});
  EXPECT_THAT(names(*shown, "/snapshots"), ElementsAre("13-20", "latest"));
  shown.reset();
  const auto fresh = open(std::chrono::seconds(0));
  save({{"a", "3"}}, kTime + 2, "h", {});
  EXPECT_THAT(names(*fresh, "/snapshots"), ElementsAre("13-20", "13-21", "13-22", "latest"));
}

// A mount asks for sizes on one thread while another notices that there are new snapshots.
TEST_F(SnapshotViews, SizesAreAskedForWhileTheListIsRefreshed) {
  save({{"a", some_content(1, 4300)}}, kTime, "h", {});
  const auto shown = open(std::chrono::seconds(0));
  const Node file = shown->find("/snapshots/13-20/a").value();
  std::jthread asking([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      EXPECT_EQ(shown->content_size(file), 4300U);
    }
  });
  for (int i = 1; i <= 10; ++i) {
    save({{"a", some_content(1, 4300)}}, kTime + i, "h", {});
    EXPECT_EQ(shown->find("/snapshots/latest")->link_target, "13-" + std::to_string(20 + i));
  }
}

TEST_F(SnapshotViews, RefuseABlobThatNoIndexLists) {
  Node lost;
  lost.name = "lost";
  lost.mode = 0644;
  lost.content = {BlobId(sha256(as_bytes(std::string_view("never stored"))))};
  Snapshot snapshot;
  snapshot.tree = repository_.store_tree({lost});
  snapshot.time = {kTime, 0, 0};
  (void)repository_.save(snapshot);
  const auto shown = open();
  Buffer out(10);
  const Error error = test::error_of(
      [&] { (void)shown->read(shown->find("/snapshots/13-20/lost").value(), 0, out.bytes()); });
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
}

// An index that gives a length that no copy has must not make a read go out of bounds.
TEST_F(SnapshotViews, RefuseABlobThatIsShorterThanTheIndexSays) {
  save({{"a", some_content(1, 900)}}, kTime, "h", {});
  repository_.repository().load_index(repository_.context());
  IndexEncoder encoder;
  const PackId lie(sha256(as_bytes(std::string_view("no such pack"))));
  const BlobId id(sha256(as_bytes(some_content(1, 900))));
  const PackedBlob wrong{{BlobType::kData, id}, 0, 500, 2000};
  encoder.add_pack(lie, std::span(&wrong, 1));
  std::map<PackId, std::vector<PackedBlob>> packs;
  repository_.repository().index().for_each(
      [&](const PackId& pack, const PackedBlob& blob) { packs[pack].push_back(blob); });
  for (const auto& [pack, blobs] : packs) {
    encoder.add_pack(pack, blobs);
  }
  for (const ObjectInfo& info : repository_.list(ObjectKind::kIndex)) {
    repository_.storage().remove(repository_.context(), {ObjectKind::kIndex, info.name});
  }
  const std::string json = encoder.finish();
  (void)repository_.repository().save_document(repository_.context(), ObjectKind::kIndex,
                                               as_bytes(json));
  const auto shown = open();
  const Node file = shown->find("/snapshots/13-20/a").value();
  Buffer out(100);
  EXPECT_THROW((void)shown->read(file, 1500, out.bytes()), Error);
}

}  // namespace
}  // namespace salvor
