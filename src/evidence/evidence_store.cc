#include "evidence/evidence_store.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "crypto/sha256.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

constexpr std::string_view kArea = "evidence/records/";
constexpr size_t kShortestId = 4;
constexpr size_t kStampLength = 16;  // 20261121T080000Z

std::optional<EvidenceEntry> entry_of(const std::string& position) {
  const std::optional<WallTime> started = parse_compact_utc(position.substr(0, kStampLength));
  // Names become those of files when evidence is exported.
  if (!started || position.size() <= kStampLength + 1 || position[kStampLength] != '-' ||
      position.find_first_not_of("0123456789abcdef", kStampLength + 1) != std::string::npos) {
    return {};
  }
  return EvidenceEntry{
      .id = position.substr(kStampLength + 1), .position = position, .started = *started};
}

std::string position_of(const DrillReport& report) {
  return compact_utc(report.started) + "-" + report.id;
}

void require_valid_time(const DrillReport& report, const TrustedKey& key) {
  if (key.from && report.finished < *key.from) {
    throw Error(ErrorCode::kDamaged, "the drill ended at " + utc_text(report.finished) +
                                         ", before its key was made at " + utc_text(*key.from));
  }
  if (key.to && report.finished > *key.to) {
    throw Error(ErrorCode::kDamaged,
                "the drill ended at " + utc_text(report.finished) +
                    ", but its key counts only until " + utc_text(*key.to),
                "Somebody may be using a key that was taken out of service.");
  }
}

}  // namespace

EvidenceStore::EvidenceStore(const Repository& repository)
    : journal_(Journal::at(repository, std::string(kArea))) {}

Evidence EvidenceStore::add(const Context& context, const DrillReport& report,
                            const SigningKey& key) const {
  const std::string envelope =
      encode_envelope(sign_envelope(std::string(kStatementPayload), encode_statement(report), key));
  const TrustedKey trusted{key.public_key(), {}, {}};
  Evidence evidence = verify_evidence(envelope, std::span(&trusted, 1));
  journal_.put(context, position_of(report), as_bytes(envelope));
  return evidence;
}

std::vector<EvidenceEntry> EvidenceStore::list(const Context& context) const {
  std::vector<EvidenceEntry> entries;
  for (const JournalEntry& object : journal_.list(context)) {
    if (std::optional<EvidenceEntry> entry = entry_of(object.position)) {
      entries.push_back(std::move(*entry));
    }
  }
  return entries;
}

EvidenceEntry EvidenceStore::find(const Context& context, const std::string& id) const {
  const std::vector<EvidenceEntry> all = list(context);
  if (id == "latest" && !all.empty()) {
    return all.back();
  }
  if (id != "latest" && id.size() < kShortestId) {
    throw Error(ErrorCode::kUsage, "\"" + printable(id) + "\" is too short to name evidence",
                "Give at least 4 digits of the id that `salvor evidence list` shows.");
  }
  std::vector<EvidenceEntry> found;
  std::copy_if(all.begin(), all.end(), std::back_inserter(found),
               [&](const EvidenceEntry& entry) { return entry.id.starts_with(id); });
  if (found.size() > 1) {
    throw Error(ErrorCode::kUsage, fmt::format("{} pieces of evidence begin with \"{}\"",
                                               found.size(), printable(id)));
  }
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound,
                id == "latest" ? "there is no evidence in this repository"
                               : "there is no evidence with the id \"" + printable(id) + "\"",
                "`salvor evidence list` shows what there is. Drills make it: `salvor drill run`.");
  }
  return found[0];
}

std::string EvidenceStore::load(const Context& context, const EvidenceEntry& entry) const {
  const Buffer content = journal_.get(context, entry.position);
  return std::string(as_text(content.view()));
}

Evidence EvidenceStore::read(const Context& context, const EvidenceEntry& entry,
                             std::span<const TrustedKey> keys) const {
  Evidence evidence = read_evidence(load(context, entry), keys);
  if (evidence.problem.empty() && entry.position != position_of(evidence.report)) {
    evidence.problem = "it is the evidence of drill " + evidence.report.id.substr(0, 8) +
                       ", stored once more as that of " + printable(entry.id.substr(0, 8));
  }
  return evidence;
}

namespace {

Envelope decode_statement_envelope(std::string_view text) {
  Envelope envelope = decode_envelope(text);
  if (envelope.payload_type != kStatementPayload) {
    throw Error(ErrorCode::kDamaged, "it holds \"" +
                                         printable(envelope.payload_type.substr(0, 100)) +
                                         "\", not \"" + std::string(kStatementPayload) + "\"");
  }
  return envelope;
}

// The signature covers the payload, not the envelope around it (white space, key ids, fields that
// nobody knows). Evidence has one form, so that its hash is one, too.
void require_as_written(std::string_view text, const Envelope& envelope, const TrustedKey& key) {
  const bool named = std::any_of(
      envelope.signatures.begin(), envelope.signatures.end(),
      [&](const EnvelopeSignature& signature) { return signature.key_id == key.key.id(); });
  const std::string written = encode_envelope(envelope);
  if (!named ||
      (text != written && text != std::string_view(written).substr(0, written.size() - 1))) {
    throw Error(ErrorCode::kDamaged, "what is signed is unchanged, but the file around it is not",
                "Get the file again from where it is kept: `salvor evidence export`.");
  }
}

Evidence unverified(std::string_view text, const Envelope& envelope) {
  return {.report = decode_statement(envelope.payload),
          .envelope = std::string(text),
          .sha256 = to_hex(sha256(as_bytes(text))),
          .key_id = {},
          .problem = {}};
}

}  // namespace

Evidence verify_evidence(std::string_view text, std::span<const TrustedKey> keys) {
  const Envelope envelope = decode_statement_envelope(text);
  // The signature comes first: nothing that an unknown hand wrote is interpreted.
  const TrustedKey& key = verify_envelope(envelope, keys);
  require_as_written(text, envelope, key);
  Evidence evidence = unverified(text, envelope);
  require_valid_time(evidence.report, key);
  evidence.key_id = key.key.id();
  return evidence;
}

Evidence read_evidence(std::string_view text, std::span<const TrustedKey> keys) {
  try {
    return verify_evidence(text, keys);
  } catch (const Error& error) {
    Evidence evidence = unverified(text, decode_statement_envelope(text));
    evidence.problem = error.message();
    return evidence;
  }
}

}  // namespace salvor
