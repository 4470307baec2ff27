// One record of the audit trail (O4): who did what, when, and how it ended.
//
// A record is a DSSE envelope (dsse.h) of type kAuditPayload, signed where a key was at hand. It
// names its writer, its place in the writer's chain, and the SHA-256 of the record before: each
// record is a signed head of everything that its writer has recorded.
#pragma once

#include <string>
#include <string_view>

#include "evidence/dsse.h"
#include "model/settings.h"

namespace salvor {

inline constexpr std::string_view kAuditPayload = "application/vnd.salvor.audit+json";
inline constexpr size_t kAuditRecordLimit = size_t{1} << 20;

// What happened, as its doer says it. Texts hold no secrets.
struct AuditEvent {
  // "backup", "restore", "access", "verification", "drill", "plan", "approval", "retention",
  // "copy", "key", "configuration", "repair", "audit"
  std::string action;
  std::string phase;    // "begun", "ended"; empty: it has happened
  std::string outcome;  // "succeeded", "failed" ...; empty while it is only begun
  std::string subject;  // what it was done to: a source, a plan, a snapshot
  std::string text;     // one line: the command, the reason
  std::string run;      // id that ties begin and end together
  TextMap details;
};

struct AuditRecord {
  std::string writer;     // whose chain: a host
  uint64_t sequence = 0;  // 1, 2, ... in the chain
  std::string previous;   // SHA-256 of the record before; empty for the first
  WallTime time;
  std::string who;      // user@host
  std::string program;  // "salvor 0.1.0"
  AuditEvent event;
};

// Unsigned without a key. The same bytes for the same record and key.
[[nodiscard]] std::string encode_audit_record(const AuditRecord& record, const SigningKey* key);

struct DecodedAuditRecord {
  AuditRecord record;
  Envelope envelope;
};
// Not verified. Throws Error{kDamaged} with the reason.
[[nodiscard]] DecodedAuditRecord decode_audit_record(std::string_view text);

// SHA-256 of a record's bytes, hexadecimal: what the next one quotes.
[[nodiscard]] std::string audit_hash(std::string_view text);

}  // namespace salvor
