// The keys that sign evidence and audit records, kept in the repository:
//
//   salvor/evidence/keys/000001, 000002, ...        sealed like the journal
//
// Each holds a public key, from when it signs, what becomes of the earlier ones, and either the
// private key or a reference to where it is. A later key is signed by the one before: who trusts
// one can follow to the next. Objects are never changed; two commands that make a key at the same
// moment get one. Threat model: docs/evidence.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "evidence/dsse.h"
#include "model/settings.h"
#include "repo/repository.h"

namespace salvor {

struct EvidenceKey {
  unsigned ordinal = 0;  // 1, 2, ...
  PublicKey key;
  WallTime valid_from;
  std::optional<WallTime> valid_to;          // where a later key ended it
  std::string end_reason;                    // "rotated", "compromised" ...
  std::optional<SecretReference> reference;  // where the private key is; nothing: kept here
  std::string made_by;                       // user@host
  std::string comment;
  bool vouched_for = true;  // the key before has signed it; true of the first

  [[nodiscard]] TrustedKey trusted() const { return {key, valid_from, valid_to}; }
};

// Reads what a reference names. The command line provides it. Throws Error.
using SecretReader = std::function<Secret(const SecretReference&)>;

struct NewEvidenceKey {
  std::optional<SecretReference> reference;  // use the key there instead of making one
  std::string made_by;
  std::string comment;
  // Signatures of the key before, made after this, do not count. Nothing: from now on.
  std::optional<WallTime> old_valid_to;
  std::string end_reason = "rotated";
};

// Thread-compatible. The repository must outlive it.
class EvidenceKeys {
 public:
  EvidenceKeys(const Repository& repository, SecretReader reader);

  // All, oldest first. One request a key and one more.
  [[nodiscard]] std::vector<EvidenceKey> load(const Context& context) const;
  // Adds a key, which signs from now on. Durable on return.
  EvidenceKey add(const Context& context, const NewEvidenceKey& request) const;
  // The newest key, ready to sign; makes the first one if there is none. Throws Error when the
  // private key cannot be had.
  [[nodiscard]] SigningKey signer(const Context& context, const std::string& made_by) const;

 private:
  struct Stored;
  [[nodiscard]] std::vector<Stored> load_all(const Context& context) const;
  [[nodiscard]] SigningKey open(const Stored& stored) const;

  const Repository& repository_;
  SecretReader reader_;
};

}  // namespace salvor
