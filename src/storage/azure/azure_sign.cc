#include "storage/azure/azure_sign.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>

#include <fmt/format.h>
#include <openssl/hmac.h>

#include "base/error.h"

namespace salvor {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), ::tolower);
  return text;
}

}  // namespace

std::string azure_string_to_sign(std::string_view account, const AzureRequest& request) {
  std::map<std::string, std::string> headers;
  for (const HttpHeader& header : request.headers) {
    headers[lower(header.name)] = header.value;
  }
  std::string text(request.method);
  for (const char* name :
       {"content-encoding", "content-language", "content-length", "content-md5", "content-type",
        "date", "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"}) {
    text += '\n';
    if (std::string_view(name) == "content-length") {
      text += request.body_bytes == 0 ? "" : std::to_string(request.body_bytes);
    } else if (const auto found = headers.find(name); found != headers.end()) {
      text += found->second;
    }
  }
  for (const auto& [name, value] : headers) {
    if (name.starts_with("x-ms-")) {
      text.append("\n").append(name).append(":").append(value);
    }
  }
  text += "\n/" + std::string(account) + std::string(request.path);
  auto query = request.query;
  std::ranges::sort(query);
  for (const auto& [name, value] : query) {
    text.append("\n").append(name).append(":").append(value);
  }
  return text;
}

std::string azure_authorization(std::string_view account, const Secret& key,
                                const AzureRequest& request) {
  const std::string text = azure_string_to_sign(account, request);
  std::array<std::byte, 32> signature{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.reveal().size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(signature.data()), &size) == nullptr) {
    throw Error(ErrorCode::kFailed, "OpenSSL cannot compute HMAC-SHA-256");
  }
  return "SharedKey " + std::string(account) + ":" + to_base64(signature);
}

std::string http_date(WallTime time) {
  // Not strftime: its names follow the locale.
  static constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t seconds =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch() / std::chrono::seconds(1);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<size_t>(utc.tm_wday)], utc.tm_mday,
                     kMonths[static_cast<size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

}  // namespace salvor
