#include "plan/step.h"

#include "base/error.h"

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

}  // namespace

Secret Secrets::resolve(const std::string& text) {
  const auto reference = SecretReference::parse(text);
  if (!reference) {
    return Secret(text);
  }
  Secret secret = lookup_(*reference);
  // One or two characters would take half the text away, and are no secret.
  if (secret.reveal().size() >= 3) {
    const std::scoped_lock lock(mutex_);
    bool known = false;
    for (const Secret& one : seen_) {
      known = known || one.reveal() == secret.reveal();
    }
    if (!known) {
      seen_.push_back(secret);
    }
  }
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

std::string StepScene::note_of(const std::string& key) const {
  std::string value;
  for (const auto& [name, text] : notes) {
    if (name == key) {
      value = text;
    }
  }
  return value;
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
