// Writes the audit trail (O4):
//
//   salvor/audit/<writer>/<number>      number: ten digits from 0000000001 on; sealed as the
//   journal
//
// Each writer (host) has a chain of its own, so that hosts need no lock against each other; within
// a host commands take turns (audit_spool.h). A record is one PUT. Method:
//
// 1. The record gets the number and the hash that follow the last one this machine knows of, and is
//    made durable in the local spool.
// 2. It is put into the repository (create-if-absent), the local head moves on, the spool forgets.
// 3. What cannot be put stays in the spool and goes first next time, unchanged. So a chain is
//    never interrupted by an outage or a crash.
// 4. When the number is taken by another record (this machine's state was lost or restored, or a
//    second machine has the same name) the end of the chain is looked up in the repository and the
//    record, and those in the spool, follow it instead.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/context.h"
#include "evidence/audit_record.h"
#include "evidence/audit_spool.h"
#include "evidence/evidence_keys.h"
#include "repo/journal.h"

namespace salvor {

inline constexpr std::string_view kAuditArea = "audit/";
// A detail: the time in UTC, where a record was made later than what it tells of.
inline constexpr std::string_view kHappenedDetail = "happened";

struct AuditOptions {
  std::string state_directory;  // of the local spool
  std::string writer;           // the host; made fit for an object's name
  std::string who;              // user@host
  std::string program;          // "salvor 0.1.0"
  SecretReader reader = {};     // for a signing key by reference
  bool sign = true;             // with the repository's key; the first record makes one
};

enum class AuditReceipt : uint8_t {
  kStored,   // in the repository
  kSpooled,  // on this machine's disk; delivered later
  kLost,     // nowhere. A Warning was emitted
};

// Not thread-safe. The repository must outlive it; its index need not be loaded.
class AuditTrail {
 public:
  AuditTrail(const Repository& repository, AuditOptions options);

  // Never throws but for mistakes of ours: a backup does not fail for its audit record. What went
  // wrong is a Warning event.
  AuditReceipt record(const Context& context, const AuditEvent& event);
  // What happened earlier, with its own doer and program. The record's time is now, as the chain
  // and the keys want it; when it happened is its detail kHappenedDetail. Otherwise as `record`.
  AuditReceipt record_late(const Context& context, const AuditRecord& happened);
  // Before something is overwritten or removed: throws Error when the record is durable nowhere.
  AuditReceipt record_before(const Context& context, const AuditEvent& event);

  // The chain's end as the repository has it. A few requests.
  [[nodiscard]] AuditHead find_end(const Context& context) const;

  [[nodiscard]] const std::string& writer() const { return options_.writer; }

 private:
  [[nodiscard]] AuditRecord record_now(const Context& context, const AuditEvent& event) const;
  AuditReceipt record(const Context& context, const AuditRecord& record);
  AuditReceipt write(const Context& context, const AuditRecord& record);
  [[nodiscard]] const SigningKey* key(const Context& context);
  [[nodiscard]] std::string make(const Context& context, AuditRecord record,
                                 const AuditHead& after);
  [[nodiscard]] bool deliver(const Context& context, AuditSpool& spool, AuditHead& head);
  void straighten(const Context& context, AuditSpool& spool, const AuditHead& head);
  void follow(const Context& context, AuditSpool& spool, AuditHead& head);
  AuditReceipt write_without_spool(const Context& context, const AuditRecord& record,
                                   const Error& reason);

  const Repository& repository_;
  AuditOptions options_;
  Journal chain_;
  std::optional<SigningKey> key_;
  bool key_asked_ = false;
};

[[nodiscard]] std::string audit_position(uint64_t sequence);
// Letters, digits, "._-"; others become "_". Never empty.
[[nodiscard]] std::string audit_writer_name(std::string_view host);

}  // namespace salvor
