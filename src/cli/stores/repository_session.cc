#include "cli/stores/repository_session.h"

#include <algorithm>

namespace salvor::cli {
namespace {

bool says_password(const GlobalOptions& global) {
  return global.password_file || global.password_command || global.insecure_no_password;
}

GlobalOptions global_options(const GlobalOptions& outer, const RepositorySpec& spec,
                             const RateLimits& limits, CommandLine command_line) {
  GlobalOptions global = outer;
  global.repository = spec.location;
  global.repository_file.reset();
  global.extended.clear();
  for (const auto& [name, value] : spec.options) {
    global.extended.push_back(name + "=" + value);
  }
  if (command_line == CommandLine::kGoesBefore) {
    // Of two of a name the later one counts.
    global.extended.insert(global.extended.end(), outer.extended.begin(), outer.extended.end());
  } else {
    global.password_file.reset();
    global.password_command.reset();
    global.insecure_no_password = false;
    global.key_hint.clear();
    global.limit_upload_kib = 0;
    global.limit_download_kib = 0;
  }
  const RateLimits strictest = stricter(spec.limits, limits);
  const auto kib = [](uint64_t bytes) {
    return bytes == 0 ? 0 : std::max<uint64_t>(1, bytes >> 10U);
  };
  if (global.limit_upload_kib == 0) {
    global.limit_upload_kib = kib(strictest.upload_bytes_per_second);
  }
  if (global.limit_download_kib == 0) {
    global.limit_download_kib = kib(strictest.download_bytes_per_second);
  }
  return global;
}

Environment environment_of(const Environment& outer, const RepositorySpec& spec,
                           const SecretLookup& secrets, bool with_password) {
  Environment::Variables more;
  for (const auto& [name, value] : spec.environment) {
    more[name] = resolve_text(value, secrets);
  }
  if (with_password) {
    more["SALVOR_PASSWORD"] = std::string(secrets(spec.password).reveal());
  }
  return outer.with(std::move(more));
}

}  // namespace

std::string resolve_text(const std::string& text, const SecretLookup& secrets) {
  const auto reference = SecretReference::parse(text);
  return reference ? std::string(secrets(*reference).reveal()) : text;
}

RateLimits stricter(const RateLimits& a, const RateLimits& b) {
  const auto least = [](uint64_t x, uint64_t y) {
    return x == 0 || y == 0 ? x + y : std::min(x, y);
  };
  return {
      .upload_bytes_per_second = least(a.upload_bytes_per_second, b.upload_bytes_per_second),
      .download_bytes_per_second = least(a.download_bytes_per_second, b.download_bytes_per_second)};
}

RepositorySession::RepositorySession(Session& outer, const Context& context,
                                     const RepositorySpec& spec, const RateLimits& limits,
                                     const SecretLookup& secrets, CommandLine command_line)
    : context_(context),
      global_(global_options(outer.global, spec, limits, command_line)),
      environment_(environment_of(
          outer.environment, spec, secrets,
          command_line == CommandLine::kDoesNotCount || !says_password(outer.global))),
      session_{global_,  environment_, outer.terminal, outer.events,
               context_, outer.root,   outer.requests, outer.locks} {}

}  // namespace salvor::cli
