#include "evidence/audit_record.h"

#include "base/error.h"
#include "base/format.h"
#include "crypto/sha256.h"
#include "evidence/json.h"

namespace salvor {
namespace {

constexpr size_t kTextLimit = 4096;
constexpr size_t kDetailsLimit = 200;

std::string limited(const std::string& text) {
  return text.size() > kTextLimit ? text.substr(0, kTextLimit) + "..." : text;
}

}  // namespace

std::string encode_audit_record(const AuditRecord& record, const SigningKey* key) {
  const AuditEvent& event = record.event;
  Json::Object details;
  for (const auto& [name, value] : event.details) {
    if (details.size() < kDetailsLimit) {
      details.emplace_back(limited(name), limited(value));
    }
  }
  std::string payload = Json(Json::Object{{"version", Json::integer(1)},
                                          {"writer", record.writer},
                                          {"sequence", Json::bytes(record.sequence)},
                                          {"previous", record.previous},
                                          {"time", Json::time(record.time)},
                                          {"who", limited(record.who)},
                                          {"program", limited(record.program)},
                                          {"action", limited(event.action)},
                                          {"phase", limited(event.phase)},
                                          {"outcome", limited(event.outcome)},
                                          {"subject", limited(event.subject)},
                                          {"text", limited(event.text)},
                                          {"run", limited(event.run)},
                                          {"details", std::move(details)}})
                            .text();
  if (key != nullptr) {
    return encode_envelope(sign_envelope(std::string(kAuditPayload), std::move(payload), *key));
  }
  return encode_envelope({.payload_type = std::string(kAuditPayload),
                          .payload = std::move(payload),
                          .signatures = {}});
}

DecodedAuditRecord decode_audit_record(std::string_view text) {
  if (text.size() > kAuditRecordLimit) {
    throw Error(ErrorCode::kDamaged, "it is larger than an audit record can be");
  }
  DecodedAuditRecord decoded;
  decoded.envelope = decode_envelope(text);
  if (decoded.envelope.payload_type != kAuditPayload) {
    throw Error(ErrorCode::kDamaged,
                "it holds \"" + printable(decoded.envelope.payload_type.substr(0, 100)) + "\"");
  }
  const Json json = Json::parse(decoded.envelope.payload, kAuditRecordLimit);
  AuditRecord& record = decoded.record;
  if (json.number_or("version", 0) != 1) {
    throw Error(ErrorCode::kDamaged, "it has a version that this program does not know");
  }
  record.writer = json.text_at("writer");
  record.sequence = json.number_or("sequence", 0);
  record.previous = json.text_or("previous", "");
  record.time = json.time_at("time").value_or(WallTime());
  record.who = json.text_or("who", "");
  record.program = json.text_or("program", "");
  record.event = {.action = json.text_or("action", ""),
                  .phase = json.text_or("phase", ""),
                  .outcome = json.text_or("outcome", ""),
                  .subject = json.text_or("subject", ""),
                  .text = json.text_or("text", ""),
                  .run = json.text_or("run", ""),
                  .details = {}};
  if (const Json* details = json.find("details")) {
    for (const auto& [name, value] : details->as_object("details")) {
      record.event.details.emplace_back(name, value.as_text(name));
    }
  }
  return decoded;
}

std::string audit_hash(std::string_view text) {
  return to_hex(sha256(as_bytes(text)));
}

}  // namespace salvor
