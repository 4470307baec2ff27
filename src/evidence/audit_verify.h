// Reads the audit trail and finds what was done to it.
//
// Found without anything from elsewhere: a changed, foreign or forged record (seal, signature), one
// that was removed, exchanged or put in another place (numbers, hashes of the one before), one that
// nobody has signed: whoever can write to the repository can write such. Only what stands before
// the first signed record of its writer counts without a signature, for that one quotes it. The end
// of a chain can be cut off without a trace in it: that is found by a head that was kept elsewhere
// (`audit head`), by a head that another record quotes, and by what this machine remembers. Who
// holds the signing key (with the key in the repository: who has its password) can write a new
// trail from the start; only a head kept elsewhere finds that. docs/evidence.md has the threat
// model.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "evidence/audit_record.h"
#include "evidence/audit_spool.h"
#include "repo/journal.h"

namespace salvor {

inline constexpr std::string_view kAuditHeadsPayload = "application/vnd.salvor.audit-heads+json";
inline constexpr std::string_view kHeadDetail = "head:";  // in front of a writer, in details

struct WriterHead {
  std::string writer;
  AuditHead head;
};

// How far the chains were at a time; signed, to be kept elsewhere.
struct AuditHeads {
  std::string repository;  // its id
  WallTime time;
  std::vector<WriterHead> heads;
};

[[nodiscard]] std::string encode_audit_heads(const AuditHeads& heads, const SigningKey& key);
// Verified. Throws Error{kDamaged} with the reason.
[[nodiscard]] AuditHeads decode_audit_heads(std::string_view text,
                                            std::span<const TrustedKey> keys);

struct StoredAuditRecord {
  std::string writer;
  uint64_t sequence = 0;
  std::string text;
  std::string unreadable;  // why there is no text; empty: there is
};

// All of them, by writer and number.
[[nodiscard]] std::vector<StoredAuditRecord> load_audit_records(const Context& context,
                                                                const Repository& repository);
// Those of an exported file: one envelope a line. Names and numbers are what the records say.
// Throws Error{kDamaged} naming the line.
[[nodiscard]] std::vector<StoredAuditRecord> parse_audit_export(std::string_view text);

struct AuditFinding {
  bool is_problem = true;  // else: a thing to know
  std::string writer;
  uint64_t sequence = 0;  // 0: the chain as a whole
  std::string text;
};

struct VerifiedAuditRecord {
  AuditRecord record;
  std::string hash;
  std::string key_id;  // empty: not signed, or not with a trusted key
};

struct AuditReport {
  std::vector<VerifiedAuditRecord> records;  // by time; within a writer by number
  std::vector<WriterHead> heads;             // the ends of the chains
  std::vector<AuditFinding> findings;
  [[nodiscard]] bool sound() const;  // no finding is a problem
};

// `known`: heads from elsewhere that the chains must contain. `unsigned_writers`: who is known to
// have no key (that of the drills' machine is kept there); what they recorded is anybody's word.
[[nodiscard]] AuditReport verify_audit(std::vector<StoredAuditRecord> stored,
                                       std::span<const TrustedKey> keys,
                                       std::span<const WriterHead> known,
                                       std::span<const std::string> unsigned_writers = {});

}  // namespace salvor
