#include "cli/secret_reader.h"

#include "base/error.h"
#include "base/fd.h"
#include "cli/password.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kSecretLimit = uint64_t{64} << 10;

Secret from_file(const std::string& path) {
  Buffer content = read_file(path, kSecretLimit);
  Secret secret{std::string(as_text(content.view()))};
  wipe(content.data(), content.size());
  return secret;
}

Secret read(Session& session, const SecretReference& reference) {
  switch (reference.kind) {
    case SecretReference::kEnvironment: {
      if (auto password = session.environment.secret(reference.name)) {
        return *password;
      }
      const std::optional<std::string> value = session.environment.get(reference.name);
      return Secret(value.value_or(""));
    }
    case SecretReference::kFile:
      return from_file(reference.name);
    case SecretReference::kCommand:
      return run_password_command(reference.name, session.terminal, session.context.stop);
    case SecretReference::kCredential: {
      const auto directory = session.environment.get("CREDENTIALS_DIRECTORY");
      if (!directory || reference.name.find('/') != std::string::npos) {
        throw Error(ErrorCode::kUsage, "systemd gives this process no credentials",
                    "Put LoadCredential= into the unit, or use file: instead.");
      }
      return from_file(*directory + "/" + reference.name);
    }
  }
  return {};
}

}  // namespace

std::function<Secret(const SecretReference&)> secret_reader(Session& session) {
  return [&session](const SecretReference& reference) {
    try {
      Secret secret = read(session, reference);
      if (secret.empty()) {
        throw Error(ErrorCode::kUsage, "it is empty or not set");
      }
      return secret;
    } catch (Error& error) {
      error.within("the secret at " + reference.text() + " cannot be read");
      throw;
    }
  };
}

}  // namespace salvor::cli
