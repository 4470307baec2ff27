// Evidence in the repository: what drills found, signed.
//
//   salvor/evidence/records/<time>-<id>      sealed like the journal; the content is the envelope
//
// <time> is when the drill began, as 20261121T080000Z, <id> the run's. Objects are never changed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evidence/dsse.h"
#include "evidence/statement.h"
#include "repo/journal.h"

namespace salvor {

struct EvidenceEntry {
  std::string id;        // of the run
  std::string position;  // of the object
  WallTime started;
};

// Evidence that was read, with what verifying it gave.
struct Evidence {
  DrillReport report;
  std::string envelope;  // the file's bytes
  std::string sha256;    // of them
  std::string key_id;   // that has signed it; empty: the signature was not verified, or is not good
  std::string problem;  // why it must not be believed; empty: nothing is wrong
};

// Thread-compatible. The repository must outlive it.
class EvidenceStore {
 public:
  explicit EvidenceStore(const Repository& repository);

  // Signs and stores. Durable on return; one PUT. Returns what was stored.
  Evidence add(const Context& context, const DrillReport& report, const SigningKey& key) const;
  // Oldest first. Reads the names of the whole area salvor/.
  [[nodiscard]] std::vector<EvidenceEntry> list(const Context& context) const;
  // By the id or the beginning of one (at least 4 digits), or "latest". Throws Error{kNotFound},
  // Error{kUsage} when several begin so.
  [[nodiscard]] EvidenceEntry find(const Context& context, const std::string& id) const;
  // The envelope's bytes.
  [[nodiscard]] std::string load(const Context& context, const EvidenceEntry& entry) const;
  // As read_evidence, and a problem as well when it is that of another drill: who has no signing
  // key could let one drill count twice.
  [[nodiscard]] Evidence read(const Context& context, const EvidenceEntry& entry,
                              std::span<const TrustedKey> keys) const;

 private:
  Journal journal_;
};

// Reads a file of evidence and verifies it with the keys. What cannot be believed throws
// Error{kDamaged} that says why.
[[nodiscard]] Evidence verify_evidence(std::string_view envelope, std::span<const TrustedKey> keys);
// As far as it can be read, believed or not: `problem` says. For overviews, which must show bad
// evidence and not end at it. Throws Error{kDamaged} when it cannot be read at all.
[[nodiscard]] Evidence read_evidence(std::string_view envelope, std::span<const TrustedKey> keys);

}  // namespace salvor
