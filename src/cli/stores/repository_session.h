// A repository of the configuration, opened as `-r` opens one: with its password, its options, its
// limits and the local cache.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/secret.h"
#include "cli/repository_access.h"
#include "model/application.h"

namespace salvor::cli {

// Where secrets come from. Throws Error that names the reference, never the secret.
using SecretLookup = std::function<Secret(const SecretReference&)>;

// What the command line says of a repository besides its location: password, -o, --limit-...
enum class CommandLine : uint8_t {
  kDoesNotCount,  // where the command is about the application
  kGoesBefore,    // where it is about one repository, which the configuration only names
};

// A session like another one, but for the repository: what the command line says of one counts as
// `CommandLine` tells (-r never), what it says of the run (--json, --cache-dir, --retry-lock) does.
// Refers to `outer` and to what `context` refers to. Not movable: its session
// refers to it, and what is opened with it does.
class RepositorySession {
 public:
  // Reads the credentials of `spec`; throws what `secrets` throws.
  RepositorySession(Session& outer, const Context& context, const RepositorySpec& spec,
                    const RateLimits& limits, const SecretLookup& secrets,
                    CommandLine command_line = CommandLine::kDoesNotCount);
  RepositorySession(const RepositorySession&) = delete;
  RepositorySession& operator=(const RepositorySession&) = delete;

  [[nodiscard]] Session& session() { return session_; }

 private:
  const Context context_;
  const GlobalOptions global_;
  const Environment environment_;
  Session session_;
};

// `text` as it stands, or the secret that it refers to.
[[nodiscard]] std::string resolve_text(const std::string& text, const SecretLookup& secrets);

// The smaller of two limits, where 0 is none.
[[nodiscard]] RateLimits stricter(const RateLimits& a, const RateLimits& b);

}  // namespace salvor::cli
