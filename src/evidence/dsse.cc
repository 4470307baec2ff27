#include "evidence/dsse.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "evidence/json.h"

namespace salvor {
namespace {

constexpr size_t kSignaturesLimit = 16;
constexpr size_t kShownId = 16;

std::string decode_base64(std::string text, std::string_view what) {
  for (char& c : text) {
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  Buffer bytes;
  if (!from_base64(text, bytes)) {
    throw Error(ErrorCode::kDamaged, "\"" + std::string(what) + "\" is not base64");
  }
  return std::string(as_text(bytes.view()));
}

std::string short_id(std::string_view id) {
  return id.empty() ? "(unnamed)" : printable(id.substr(0, kShownId));
}

}  // namespace

std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload) {
  std::string out = "DSSEv1 " + std::to_string(payload_type.size()) + " ";
  out += payload_type;
  out += " " + std::to_string(payload.size()) + " ";
  out += payload;
  return out;
}

Envelope sign_envelope(std::string payload_type, std::string payload, const SigningKey& key) {
  const Signature signature =
      key.sign(as_bytes(pre_authentication_encoding(payload_type, payload)));
  return {.payload_type = std::move(payload_type),
          .payload = std::move(payload),
          .signatures = {{key.public_key().id(), std::string(as_text(signature))}}};
}

std::string encode_envelope(const Envelope& envelope) {
  Json::Array signatures;
  for (const EnvelopeSignature& signature : envelope.signatures) {
    signatures.emplace_back(
        Json::Object{{"keyid", signature.key_id}, {"sig", to_base64(as_bytes(signature.bytes))}});
  }
  return Json(Json::Object{{"payloadType", envelope.payload_type},
                           {"payload", to_base64(as_bytes(envelope.payload))},
                           {"signatures", std::move(signatures)}})
             .text() +
         "\n";
}

Envelope decode_envelope(std::string_view text) {
  const Json json = Json::parse(text, kEnvelopeLimit);
  Envelope envelope;
  envelope.payload_type = json.text_at("payloadType");
  envelope.payload = decode_base64(json.text_at("payload"), "payload");
  const Json::Array& signatures = json.at("signatures").as_array("signatures");
  if (signatures.size() > kSignaturesLimit) {
    throw Error(ErrorCode::kDamaged, "it has too many signatures");
  }
  for (const Json& signature : signatures) {
    envelope.signatures.push_back(
        {signature.text_or("keyid", ""), decode_base64(signature.text_at("sig"), "sig")});
  }
  return envelope;
}

const TrustedKey& verify_envelope(const Envelope& envelope, std::span<const TrustedKey> keys) {
  if (envelope.signatures.empty()) {
    throw Error(ErrorCode::kDamaged, "it is not signed");
  }
  if (keys.empty()) {
    throw Error(ErrorCode::kUsage, "there is no public key to verify it with");
  }
  const std::string signed_text =
      pre_authentication_encoding(envelope.payload_type, envelope.payload);
  bool known_name = false;
  for (const EnvelopeSignature& signature : envelope.signatures) {
    for (const TrustedKey& trusted : keys) {
      if (trusted.key.verify(as_bytes(signed_text), as_bytes(signature.bytes))) {
        return trusted;
      }
      known_name = known_name || signature.key_id == trusted.key.id();
    }
  }
  if (known_name) {
    throw Error(ErrorCode::kDamaged, "the signature does not match: it was changed after signing",
                "Get the file again from where it is kept. If it comes from there like this, "
                "somebody has tampered with it.");
  }
  throw Error(ErrorCode::kDamaged,
              "it is signed with the key " + short_id(envelope.signatures[0].key_id) +
                  ", not with " + short_id(keys[0].key.id()) +
                  (keys.size() > 1 ? " or another trusted key" : ""),
              "Verify it with the public key of that time, from a source that you trust.");
}

}  // namespace salvor
