#include "plan/step.h"

#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "codec/utf8.h"
#include "net/http_client.h"

namespace salvor::plan {
namespace {

// The password in "scheme://user:password@host".
std::string without_url_passwords(std::string text) {
  size_t at = 0;
  while ((at = text.find("://", at)) != std::string::npos) {
    at += 3;
    const size_t end = text.find_first_of("/?# \t\r\n\"'", at);
    const size_t last = text.substr(0, end).rfind('@');
    const size_t colon = text.find(':', at);
    if (last != std::string::npos && last > at && colon < last && colon + 1 < last) {
      text.replace(colon + 1, last - colon - 1, "***");
    }
  }
  return text;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

// The password in a URL, as it stands there and decoded; empty: there is none.
std::string password_in(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) {
    return {};
  }
  std::string_view rest = url.substr(scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const size_t at = rest.rfind('@');
  const size_t colon = rest.find(':');
  return at == std::string_view::npos || colon == std::string_view::npos || colon > at
             ? std::string()
             : std::string(rest.substr(colon + 1, at - colon - 1));
}

// Whether the output of a step was put into it; what the configuration and whoever runs the plan
// say (parameters, the target, the run) is theirs.
bool holds_output(std::string_view raw) {
  const std::vector<std::string> names = variables_in(raw);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.find('.') != std::string::npos && !name.starts_with("target.") &&
           !name.starts_with("run.");
  });
}

}  // namespace

void Secrets::remember(const Secret& secret) {
  // One or two characters would take half the text away, and are no secret.
  constexpr size_t kShortest = 3;
  const auto same = [&](const Secret& one) { return one.reveal() == secret.reveal(); };
  if (secret.reveal().size() < kShortest || std::any_of(seen_.begin(), seen_.end(), same)) {
    return;
  }
  const auto place = std::find_if(seen_.begin(), seen_.end(), [&](const Secret& one) {
    return one.reveal().size() < secret.reveal().size();
  });
  seen_.insert(place, secret);
}

Secret Secrets::resolve(const std::string& text) {
  const auto reference = SecretReference::parse(text);
  if (!reference) {
    return Secret(text);
  }
  Secret secret = lookup_(*reference);
  const std::string password = password_in(secret.reveal());
  const std::scoped_lock lock(mutex_);
  remember(secret);
  remember(Secret(password));
  remember(Secret(percent_decode(password).value_or("")));
  return secret;
}

std::string Secrets::hide(std::string_view text) const {
  std::string result(text);
  {
    const std::scoped_lock lock(mutex_);
    for (const Secret& secret : seen_) {
      replace_all(result, secret.reveal(), "***");
    }
  }
  return without_url_passwords(std::move(result));
}

size_t Secrets::longest() const {
  const std::scoped_lock lock(mutex_);
  return seen_.empty() ? 0 : seen_.front().reveal().size();
}

std::string StepScene::note_of(const std::string& key) const {
  std::string value;
  for (const auto& [name, text] : notes) {
    if (name == key) {
      value = text;
    }
  }
  return value;
}

Secret secret_setting(StepScene& scene, const std::string& name) {
  const std::string text = scene.settings.text(name);
  return holds_output(scene.raw.text(name)) ? Secret(text) : scene.secrets.resolve(text);
}

std::vector<std::pair<std::string, Secret>> secret_settings(StepScene& scene,
                                                            const std::string& name) {
  const TextMap raw = scene.raw.map(name);
  std::vector<std::pair<std::string, Secret>> secrets;
  for (const auto& [key, text] : scene.settings.map(name)) {
    const auto written =
        std::find_if(raw.begin(), raw.end(), [&](const auto& one) { return one.first == key; });
    const bool plain = written == raw.end() || holds_output(written->second);
    secrets.emplace_back(key, plain ? Secret(text) : scene.secrets.resolve(text));
  }
  return secrets;
}

std::string as_plain_text(std::string_view text, size_t limit_bytes) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string result;
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    const bool good = rune.length > 0 && rune.value != 0;
    const std::string_view piece = good ? text.substr(0, rune.length) : kReplacement;
    if (result.size() + piece.size() > limit_bytes) {
      break;
    }
    result += piece;
    text.remove_prefix(std::max(rune.length, 1U));
  }
  return result;
}

FieldSpec in_drill_field() {
  return {.name = "in-drill",
          .help = "whether a drill runs it; auto: only when it refers to ${target...}",
          .default_text = "auto",
          .choices = {"auto", "run", "skip"}};
}

FieldSpec repeatable_field() {
  return {.name = "repeatable",
          .type = FieldType::kFlag,
          .help =
              "whether doing it twice does no harm, so that a resumed run may do it again "
              "without asking",
          .default_text = "false"};
}

}  // namespace salvor::plan
