#include "engine/restore/restorer.h"

#include "engine/restore/restore_walk.h"

namespace salvor {

RestoreResult Restorer::run(const Context& context, const BlobId& tree,
                            const RestoreOptions& options) {
  FilesTarget target({.replace_full_directories = options.delete_unexpected,
                      .ownership_by_name = options.ownership_by_name,
                      .attribute_wanted = options.attribute_wanted});
  RestoreWalk(context, repository_, target, options, progress_).run(tree);
  return {.errors = progress_.errors, .not_permitted = target.not_permitted()};
}

}  // namespace salvor
