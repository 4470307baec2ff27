// Records every call that changes something, and then plays out every crash: what a machine that
// died at any moment of the run could have left in the repository.
//
//   RecordingStorage recording(context, make_memory_storage());
//   ... run a backup over borrow_storage(recording); recording.mark("backup returned") ...
//   for (const Crash& crash : recording.crashes()) {
//     crash.materialise(directory);   // a repository in restic's layout
//     ... `restic check --read-data`; restore what crash.has_mark(...) promises ...
//   }
//
// Method. Each call has a beginning and an end; the run is the sequence of these. Between any two
// of them the machine may die. By the contract (storage.h) a call that had returned is durable. One
// that was under way (several when threads put in parallel) has happened or not, each on its own,
// and may have left a part under a temporary name.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/decorators/forwarding_storage.h"

namespace salvor {

struct Recording;

// Shared: crashes are many, and each needs most of the recorded bytes.
using ObjectBytes = std::shared_ptr<const Buffer>;

// One state of the repository after a crash. Cheap to copy; independent of the RecordingStorage.
class Crash {
 public:
  // What became of the calls under way.
  enum class Pending : uint8_t {
    kDropped,      // none happened
    kTemporary,    // none happened; each put left half of its bytes under restic's temporary name
    kHappened,     // all happened
    kOneHappened,  // just one did (with several under way)
    kTorn,         // puts left half of their bytes under the final name; only on request
  };

  // "after 17 of 40 events (put pack 1a2b3c4d under way: happened)"
  [[nodiscard]] std::string label() const;
  // Whether RecordingStorage::mark(label) was called before the crash: what the run had promised.
  [[nodiscard]] bool has_mark(std::string_view mark) const;
  // Whether a put of it had returned and no removal had begun.
  [[nodiscard]] bool is_durable(const ObjectName& object) const;
  // Everything under its final name.
  [[nodiscard]] std::map<ObjectName, ObjectBytes> objects() const;

  // Writes the state below `directory`, which is made, or emptied of what it held. Files are
  // read-only as restic's. Not durable, so as to be fast.
  void materialise(const std::filesystem::path& directory) const;
  // The same into an empty storage; temporary files are left out.
  void materialise(const Context& context, Storage& storage) const;

 private:
  friend class RecordingStorage;
  std::shared_ptr<const Recording> recording_;
  size_t events_ = 0;  // how many happened
  std::vector<size_t> under_way_;
  Pending pending_ = Pending::kDropped;
  size_t happened_ = 0;  // for kOneHappened
};

// Passes everything on to `base` and keeps a copy of what is written (tests only: nothing is
// forgotten). Thread-safe. A call that fails counts as what it did: the base is asked.
class RecordingStorage final : public ForwardingStorage {
 public:
  // What `base` holds is read now: it is the state before the first call.
  RecordingStorage(const Context& context, std::unique_ptr<Storage> base);
  ~RecordingStorage() override;

  // Forgets the calls; what the base holds now is the state before the first.
  void restart(const Context& context);
  // Notes that the run has got somewhere ("backup 1 reported success").
  void mark(std::string label);

  // Every crash, in the order of the run. `torn_in_place` adds those of a storage that breaks its
  // promise: half an object under its final name, which a check has to find.
  [[nodiscard]] std::vector<Crash> crashes(bool torn_in_place = false) const;

  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  void remove(const Context& context, const ObjectName& object) override;
  // One by one, past the base: a crash may come between any two.
  void remove_many(const Context& context, std::span<const ObjectName> objects) override {
    Storage::remove_many(context, objects);  // NOLINT(bugprone-parent-virtual-call)
  }

 private:
  size_t begin(const ObjectName& object, ObjectBytes bytes, bool replaces);
  void end(size_t mutation, bool happened);

  mutable std::mutex mutex_;
  std::unique_ptr<Recording> recording_;
};

}  // namespace salvor
