// The journal area: what happened to a store between its snapshots, one object a segment.
//
//   salvor/journal/<store>/<stream>/<position>
//
// An object is visible at once, durable when `put` returns, and never changed. It is sealed under
// the repository's master key and carries its own name and the hash of its content, so that no
// object can pass for another one. Nothing in the restic part of the repository depends on the
// area, and no lock is needed to write to it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "codec/zstd.h"
#include "repo/repository.h"

namespace salvor {

inline constexpr size_t kJournalContentLimit = size_t{1} << 30;  // of one object

struct JournalEntry {
  std::string position;
  uint64_t stored_bytes = 0;
};

enum class JournalPut : uint8_t { kStored, kExisted };

// Another content is stored under the name already. Nothing was changed.
class JournalConflict final : public Error {
 public:
  using Error::Error;
};

// What putting works in. Who stores many objects keeps one a thread: fresh memory for each (up to
// three times the content) costs the system about as much as compressing it. Not thread-safe.
struct JournalScratch {
  Buffer compressed;
  Buffer plain;
  Buffer sealed;
  Compressor compressor;
  Decompressor decompressor;
};

// One stream of one store. Thread-safe. The repository must outlive it; its index need not be
// loaded.
class Journal {
 public:
  // The words become parts of object names: letters, digits and "._-+=@,~%".
  Journal(const Repository& repository, std::string_view store, std::string_view stream);
  // Another part of the area, with the same promises: objects salvor/<prefix><position>. `prefix`
  // ends in '/'.
  [[nodiscard]] static Journal at(const Repository& repository, std::string prefix);

  // Stores `content` under `position`; what will be stored is decoded and compared first. The same
  // content again is kExisted; another one throws JournalConflict (an Error{kFailed}) and changes
  // nothing. Durable on return.
  // Throws Error{kUnreachable} when a local repository has gone since it was opened (unmounted).
  JournalPut put(const Context& context, std::string_view position, ByteView content) const {
    JournalScratch scratch;
    return put(context, position, content, scratch);
  }
  JournalPut put(const Context& context, std::string_view position, ByteView content,
                 JournalScratch& scratch) const;
  // For who has hashed `content` along with others, which is faster.
  JournalPut put(const Context& context, std::string_view position, ByteView content,
                 const Digest& hash, JournalScratch& scratch) const;
  // Verified. Throws Error{kNotFound} when there is none, Error{kDamaged} when it is not what was
  // stored.
  [[nodiscard]] Buffer get(const Context& context, std::string_view position) const;
  [[nodiscard]] bool contains(const Context& context, std::string_view position) const;
  // Sorted by position. Costs what the stream has: a request for each 1,000 where storages answer
  // in pages.
  [[nodiscard]] std::vector<JournalEntry> list(const Context& context) const {
    return list(context, {});
  }
  // The same of the positions that begin with `beginning`; costs what those are.
  [[nodiscard]] std::vector<JournalEntry> list(const Context& context,
                                               std::string_view beginning) const;
  // Removing what is absent succeeds.
  void remove(const Context& context, std::span<const std::string> positions) const;

 private:
  Journal(const Repository& repository, std::string prefix);
  [[nodiscard]] ObjectName object(std::string_view position) const;
  void require_present(const Context& context) const;

  const Repository& repository_;
  const std::string prefix_;  // "journal/<store>/<stream>/"
};

}  // namespace salvor
