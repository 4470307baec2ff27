#include "engine/maintenance/migrate.h"

#include "repo/repository.h"

namespace salvor {

std::vector<Migration> list_migrations(const Repository& repository) {
  const unsigned version = repository.config().version;
  return {
      {"upgrade_repo_v2", "upgrade a repository to version 2",
       version == 1 ? "" : "repository is already upgraded to version " + std::to_string(version)}};
}

void upgrade_to_version_2(const Context& context, Repository& repository,
                          const std::function<void()>& confirm_lock) {
  context.check_stopped();
  if (confirm_lock) {
    confirm_lock();
  }
  RepositoryConfig config = repository.config();
  config.version = 2;
  repository.save_config(context, config);
}

}  // namespace salvor
