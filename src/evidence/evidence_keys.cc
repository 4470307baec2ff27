#include "evidence/evidence_keys.h"

#include <fmt/format.h>

#include "evidence/json.h"
#include "repo/journal.h"

namespace salvor {
namespace {

constexpr std::string_view kArea = "evidence/keys/";
constexpr std::string_view kKeyPayload = "application/vnd.salvor.evidence-key+json";
constexpr size_t kKeyLimit = size_t{64} << 10;
constexpr unsigned kKeysLimit = 1000;

std::string position(unsigned ordinal) {
  return fmt::format("{:06}", ordinal);
}

}  // namespace

struct EvidenceKeys::Stored {
  EvidenceKey key;
  Secret private_pem;
  std::optional<WallTime> ends_previous;
  std::string end_reason;
  Envelope envelope;  // the public part, signed by the key before or, the first, by itself
};

EvidenceKeys::EvidenceKeys(const Repository& repository, SecretReader reader)
    : repository_(repository), reader_(std::move(reader)) {}

std::vector<EvidenceKeys::Stored> EvidenceKeys::load_all(const Context& context) const {
  const Journal journal = Journal::at(repository_, std::string(kArea));
  std::vector<Stored> all;
  for (unsigned ordinal = 1; ordinal <= kKeysLimit; ++ordinal) {
    Buffer content;
    try {
      content = journal.get(context, position(ordinal));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) {
        return all;
      }
      throw;
    }
    try {
      const Json json = Json::parse(as_text(content.view()), kKeyLimit);
      wipe(content.data(), content.size());
      Envelope envelope = decode_envelope(json.text_at("public"));
      const Json said = Json::parse(envelope.payload, kKeyLimit);
      if (envelope.payload_type != kKeyPayload || said.number_or("ordinal", 0) != ordinal) {
        throw Error(ErrorCode::kDamaged, "it is another object");
      }
      EvidenceKey key{.ordinal = ordinal,
                      .key = PublicKey::from_pem(said.text_at("key")),
                      .valid_from = said.time_at("validFrom").value_or(WallTime()),
                      .valid_to = {},
                      .end_reason = {},
                      .reference = SecretReference::parse(said.text_or("reference", "")),
                      .made_by = said.text_or("madeBy", ""),
                      .comment = said.text_or("comment", ""),
                      .vouched_for = false};
      const PublicKey& by = all.empty() ? key.key : all.back().key.key;
      for (const EnvelopeSignature& signature : envelope.signatures) {
        key.vouched_for =
            key.vouched_for ||
            by.verify(
                as_bytes(pre_authentication_encoding(envelope.payload_type, envelope.payload)),
                as_bytes(signature.bytes));
      }
      std::optional<WallTime> ends = said.time_at("endsPrevious");
      std::string reason = said.text_or("endReason", "");
      if (!all.empty() && ends) {
        all.back().key.valid_to = ends;
        all.back().key.end_reason = reason;
      }
      all.push_back({std::move(key), Secret(json.text_or("private", "")), ends, std::move(reason),
                     std::move(envelope)});
    } catch (Error& error) {
      error.within("the evidence key " + position(ordinal) + " is damaged");
      throw;
    }
  }
  return all;
}

std::vector<EvidenceKey> EvidenceKeys::load(const Context& context) const {
  std::vector<EvidenceKey> keys;
  for (Stored& stored : load_all(context)) {
    keys.push_back(std::move(stored.key));
  }
  return keys;
}

SigningKey EvidenceKeys::open(const Stored& stored) const {
  const auto& reference = stored.key.reference;
  if (reference && !reader_) {
    throw Error(ErrorCode::kUsage,
                "the private key is at " + reference->text() + ", which cannot be read from here");
  }
  SigningKey key = SigningKey::from_pem(reference ? reader_(*reference) : stored.private_pem);
  if (!(key.public_key() == stored.key.key)) {
    throw Error(ErrorCode::kUsage,
                (reference ? reference->text() : "the repository") +
                    " holds another private key than evidence key " +
                    std::to_string(stored.key.ordinal),
                "Put the right key there, or say that a new one signs from now on: `salvor "
                "evidence key new`.");
  }
  return key;
}

EvidenceKey EvidenceKeys::add(const Context& context, const NewEvidenceKey& request) const {
  const std::vector<Stored> all = load_all(context);
  if (all.size() >= kKeysLimit) {
    throw Error(ErrorCode::kFailed, "there are too many evidence keys");
  }
  if (request.reference && !reader_) {
    throw Error(ErrorCode::kUsage, "a key by reference cannot be read from here");
  }
  const SigningKey fresh = request.reference ? SigningKey::from_pem(reader_(*request.reference))
                                             : SigningKey::generate(repository_.random());
  const WallTime now = context.clock.now();
  const auto ordinal = static_cast<unsigned>(all.size() + 1);
  Json::Object said{{"version", Json::integer(1)},
                    {"ordinal", Json::integer(ordinal)},
                    {"key", fresh.public_key().pem()},
                    {"validFrom", Json::time(now)},
                    {"reference", request.reference ? Json(request.reference->text()) : Json()},
                    {"madeBy", request.made_by},
                    {"comment", request.comment}};
  if (!all.empty()) {
    said.emplace_back("endsPrevious", Json::time(request.old_valid_to.value_or(now)));
    said.emplace_back("endReason", request.end_reason);
  }
  std::string payload = Json(said).text();
  // A key that is lost can vouch for nothing: then the new one signs for itself, and whoever
  // verifies is told.
  Envelope envelope;
  try {
    envelope =
        sign_envelope(std::string(kKeyPayload), payload, all.empty() ? fresh : open(all.back()));
  } catch (const Error&) {
    envelope = sign_envelope(std::string(kKeyPayload), payload, fresh);
  }
  Json::Object stored{{"public", encode_envelope(envelope)}};
  if (!request.reference) {
    stored.emplace_back("private", std::string(fresh.pem().reveal()));
  }
  std::string text = Json(std::move(stored)).text();
  const Journal journal = Journal::at(repository_, std::string(kArea));
  try {
    journal.put(context, position(ordinal), as_bytes(text));
  } catch (Error& error) {
    wipe(text.data(), text.size());
    throw error.within("the new evidence key was not stored");
  }
  wipe(text.data(), text.size());
  return load(context).at(ordinal - 1);
}

SigningKey EvidenceKeys::signer(const Context& context, const std::string& made_by) const {
  std::vector<Stored> all = load_all(context);
  if (all.empty()) {
    try {
      (void)add(context, {.reference = {},
                          .made_by = made_by,
                          .comment = "made at first need",
                          .old_valid_to = {}});
    } catch (const Error& error) {
      // Somebody else made the first one meanwhile.
      if (error.code() != ErrorCode::kFailed) {
        throw;
      }
    }
    all = load_all(context);
  }
  if (all.empty()) {
    throw Error(ErrorCode::kFailed, "there is no evidence key, and none could be made");
  }
  return open(all.back());
}

}  // namespace salvor
