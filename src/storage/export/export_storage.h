// A repository as one tar archive: written in one go, and read where it lies.
//
// The archive holds restic's layout below one directory, so that restic opens it after `tar x`.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "storage/storage.h"

namespace salvor {

class VolumeReader;

// A new, empty repository whose objects go to `sink` in the order in which they are put. Reading
// back is possible for config and keys only, removing not at all. Memory: the names. `sink` is
// called by one thread at a time; `now_seconds`: the files' time.
class TarWriteStorage final : public Storage {
 public:
  using Sink = std::function<void(ByteView)>;
  TarWriteStorage(Sink sink, std::string description, int64_t now_seconds);
  ~TarWriteStorage() override;

  // The mark at the end. To be called once, after everything was put.
  void finish();

  using Storage::put;
  void create(const Context& context) override;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override;
  [[nodiscard]] StorageTraits traits() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The repository inside an archive, read-only: whatever would change it throws Error{kPermission}.
// Where in the archive it begins is where the config is. Throws Error{kDamaged} when the archive is
// not one or has no end (the missing volume is named), Error{kNoRepository} when no config is in
// it.
[[nodiscard]] std::unique_ptr<Storage> open_tar_storage(std::shared_ptr<const VolumeReader> file);

}  // namespace salvor
