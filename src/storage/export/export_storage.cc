#include "storage/export/export_storage.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/format.h"
#include "codec/tar_format.h"
#include "storage/export/volumes.h"
#include "storage/layout.h"

namespace salvor {
namespace {

constexpr std::string_view kRoot = "salvor-export/";
// restic makes these for every repository, too.
constexpr std::array<const char*, 6> kDirectories = {"",      "data/",  "index/",
                                                     "keys/", "locks/", "snapshots/"};

[[noreturn]] void refuse(const std::string& description, const char* what) {
  throw Error(ErrorCode::kPermission, "cannot " + std::string(what) + " " + description,
              "An exported file is not changed: import it into a repository.");
}

bool is_small(ObjectKind kind) {
  return kind == ObjectKind::kConfig || kind == ObjectKind::kKey;
}

}  // namespace

struct TarWriteStorage::State {
  Sink sink;
  std::string description;
  int64_t now;
  std::mutex mutex;
  std::map<ObjectName, uint64_t> sizes;
  std::map<ObjectName, Buffer> small;

  void write_header(const std::string& path, uint64_t size_bytes) {
    sink(encode_tar_header(std::string(kRoot) + path, size_bytes, now));
  }
};

TarWriteStorage::TarWriteStorage(Sink sink, std::string description, int64_t now_seconds)
    : state_(std::make_unique<State>()) {
  state_->sink = std::move(sink);
  state_->description = std::move(description);
  state_->now = now_seconds;
}

TarWriteStorage::~TarWriteStorage() = default;

void TarWriteStorage::finish() {
  const std::scoped_lock lock(state_->mutex);
  const std::array<std::byte, 2 * kTarBlock> end{};
  state_->sink(end);
}

void TarWriteStorage::create(const Context& context) {
  context.check_stopped();
  const std::scoped_lock lock(state_->mutex);
  for (const char* directory : kDirectories) {
    state_->write_header(directory, 0);
  }
}

void TarWriteStorage::put(const Context& context, const ObjectName& object,
                          std::span<const ByteView> parts) {
  check_call(context, object);
  const uint64_t size = total_size(parts);
  {
    const std::scoped_lock lock(state_->mutex);
    if (state_->sizes.emplace(object, size).second) {
      if (is_small(object.kind)) {
        Buffer& copy = state_->small[object];
        for (const ByteView part : parts) {
          copy.append(part);
        }
      }
      state_->write_header(object_path(object), size);
      for (const ByteView part : parts) {
        state_->sink(part);
      }
      const std::array<std::byte, kTarBlock> zeros{};
      state_->sink(ByteView(zeros).first(tar_padding(size)));
      return;
    }
  }
  check_existing(*this, context, object, stat(context, object)->size_bytes, parts);
}

void TarWriteStorage::replace_config(const Context& /*context*/, ByteView /*bytes*/) {
  refuse(state_->description, "change");
}

Buffer TarWriteStorage::get(const Context& context, const ObjectName& object,
                            uint64_t limit_bytes) {
  check_call(context, object);
  const std::scoped_lock lock(state_->mutex);
  const auto found = state_->small.find(object);
  if (found == state_->small.end()) {
    throw Error(ErrorCode::kNotFound, "cannot read " + object.display() + " from " +
                                          state_->description + ", which is being written");
  }
  if (found->second.size() > limit_bytes) {
    throw Error(ErrorCode::kDamaged, object.display() + " is too long");
  }
  return Buffer::copy_of(found->second.view());
}

void TarWriteStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                                MutableBytes out) {
  const Buffer whole = get(context, object, uint64_t{1} << 30);
  if (offset > whole.size() || out.size() > whole.size() - offset) {
    throw Error(ErrorCode::kDamaged, object.display() + " ends before");
  }
  std::ranges::copy(whole.view(offset, out.size()), out.begin());
}

std::optional<ObjectInfo> TarWriteStorage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  const std::scoped_lock lock(state_->mutex);
  const auto found = state_->sizes.find(object);
  return found == state_->sizes.end() ? std::nullopt
                                      : std::optional(ObjectInfo{object.name, found->second});
}

void TarWriteStorage::list(const Context& context, ObjectKind kind,
                           const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  std::vector<ObjectInfo> found;
  {
    const std::scoped_lock lock(state_->mutex);
    for (const auto& [object, size] : state_->sizes) {
      if (object.kind == kind) {
        found.push_back({object.name, size});
      }
    }
  }
  std::ranges::for_each(found, on_object);
}

void TarWriteStorage::remove(const Context& /*context*/, const ObjectName& /*object*/) {
  refuse(state_->description, "remove from");
}

StorageTraits TarWriteStorage::traits() const {
  return {.connections = 1, .description = state_->description};
}

// ---- reading ----

namespace {

class TarReadStorage final : public Storage {
 public:
  explicit TarReadStorage(std::shared_ptr<const VolumeReader> file)
      : file_(std::move(file)), description_("exported file " + printable(file_->display_name())) {
    TarContents contents =
        read_tar_contents([this](uint64_t offset, MutableBytes out) { file_->read(offset, out); },
                          file_->size_bytes());
    if (!contents.complete) {
      throw Error(ErrorCode::kDamaged, description_ + " has no end", file_->next_volume());
    }
    place(contents.members);
  }

  using Storage::put;
  void create(const Context& /*context*/) override { refuse(description_, "change"); }
  void put(const Context& /*context*/, const ObjectName& /*object*/,
           std::span<const ByteView> /*parts*/) override {
    refuse(description_, "write to");
  }
  void replace_config(const Context& /*context*/, ByteView /*bytes*/) override {
    refuse(description_, "change");
  }
  void remove(const Context& /*context*/, const ObjectName& /*object*/) override {
    refuse(description_, "remove from");
  }

  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override {
    const Place& place = find(context, object);
    if (place.size_bytes > limit_bytes) {
      throw Error(ErrorCode::kDamaged,
                  what(object) + ": it has more than " + std::to_string(limit_bytes) + " bytes");
    }
    Buffer bytes(place.size_bytes);
    file_->read(place.offset, bytes.bytes());
    return bytes;
  }
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    const Place& place = find(context, object);
    if (offset > place.size_bytes || out.size() > place.size_bytes - offset) {
      throw Error(ErrorCode::kDamaged,
                  what(object) + ": it ends before byte " + std::to_string(offset + out.size()),
                  "The stored object is damaged. Run check to see what it affects.");
    }
    file_->read(place.offset + offset, out);
  }
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    check_call(context, object);
    const auto found = places_.find(object);
    return found == places_.end()
               ? std::nullopt
               : std::optional(ObjectInfo{object.name, found->second.size_bytes});
  }
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    for (auto at = places_.lower_bound({kind, ""}); at != places_.end() && at->first.kind == kind;
         ++at) {
      context.check_stopped();
      on_object({at->first.name, at->second.size_bytes});
    }
  }
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 2, .read_only = true, .description = description_};
  }

 private:
  struct Place {
    uint64_t offset;
    uint64_t size_bytes;
  };

  void place(const std::vector<TarMember>& members) {
    std::optional<std::string> root;
    for (const TarMember& member : members) {
      const size_t slash = member.name.rfind('/') + 1;  // 0 when there is none
      if (member.name.substr(slash) == "config" && (!root || slash < root->size())) {
        root = member.name.substr(0, slash);
      }
    }
    if (!root) {
      throw Error(ErrorCode::kNoRepository, "there is no repository in " + description_,
                  "Was it made by salvor export?");
    }
    for (const TarMember& member : members) {
      if (!member.name.starts_with(*root)) {
        continue;
      }
      const std::string_view path = std::string_view(member.name).substr(root->size());
      for (const ObjectKind kind : {ObjectKind::kConfig, ObjectKind::kKey, ObjectKind::kSnapshot,
                                    ObjectKind::kIndex, ObjectKind::kPack}) {
        const auto name =
            path.starts_with(kind_prefix(kind)) ? name_of_path(kind, path) : std::nullopt;
        if (name) {
          places_.emplace(ObjectName{kind, *name}, Place{member.offset, member.size_bytes});
        }
      }
    }
  }
  [[nodiscard]] std::string what(const ObjectName& object) const {
    return "cannot read " + object.display() + " from " + description_;
  }
  const Place& find(const Context& context, const ObjectName& object) const {
    check_call(context, object);
    const auto found = places_.find(object);
    if (found == places_.end()) {
      throw Error(ErrorCode::kNotFound, what(object) + ": it does not exist");
    }
    return found->second;
  }

  const std::shared_ptr<const VolumeReader> file_;
  const std::string description_;
  std::map<ObjectName, Place> places_;
};

}  // namespace

std::unique_ptr<Storage> open_tar_storage(std::shared_ptr<const VolumeReader> file) {
  return std::make_unique<TarReadStorage>(std::move(file));
}

}  // namespace salvor
