#include "evidence/trusted_keys.h"

#include <algorithm>

#include "base/error.h"
#include "codec/go_json.h"
#include "evidence/json.h"

namespace salvor {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";
constexpr std::string_view kFrom = "Valid-From:";
constexpr std::string_view kTo = "Valid-To:";

std::string time_text(WallTime time) {
  return Json::time(time).as_text("time");
}

WallTime time_after(std::string_view line, std::string_view name) {
  line.remove_prefix(name.size());
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) {
    line.remove_prefix(1);
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) {
    line.remove_suffix(1);
  }
  try {
    return *Json(Json::Object{{"t", Json(line)}}).time_at("t");
  } catch (const Error&) {
    throw Error(ErrorCode::kUsage,
                "the line \"" + std::string(name) + "\" of the file of public keys has no time",
                "Write it as 2026-11-21T08:00:00Z.");
  }
}

}  // namespace

std::string encode_trusted_keys(const std::vector<TrustedKey>& keys) {
  std::string text;
  for (const TrustedKey& trusted : keys) {
    text += text.empty() ? "" : "\n";
    text += "Key-Id: " + trusted.key.id() + "\n";
    text += trusted.from ? std::string(kFrom) + " " + time_text(*trusted.from) + "\n" : "";
    text += trusted.to ? std::string(kTo) + " " + time_text(*trusted.to) + "\n" : "";
    text += trusted.key.pem();
  }
  return text;
}

std::vector<TrustedKey> decode_trusted_keys(std::string_view text) {
  if (text.size() > kTrustedKeysLimit) {
    throw Error(ErrorCode::kUsage, "the file of public keys is larger than 1 MiB");
  }
  std::vector<TrustedKey> keys;
  std::optional<WallTime> from;
  std::optional<WallTime> to;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(kBegin)) {
      const size_t end = text.find(kEnd);
      const std::string_view pem =
          text.substr(0, std::min(end, text.size() - kEnd.size()) + kEnd.size());
      keys.push_back({PublicKey::from_pem(end == std::string_view::npos ? line : pem), from, to});
      text.remove_prefix(pem.size());
      from.reset();
      to.reset();
      continue;
    }
    if (line.starts_with(kFrom)) {
      from = time_after(line, kFrom);
    } else if (line.starts_with(kTo)) {
      to = time_after(line, kTo);
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  if (keys.empty()) {
    throw Error(ErrorCode::kUsage, "there is no public key in the file",
                "`salvor evidence key public` writes one; it begins with \"-----BEGIN PUBLIC "
                "KEY-----\".");
  }
  return keys;
}

}  // namespace salvor
