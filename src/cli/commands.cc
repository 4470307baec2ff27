#include "cli/commands.h"

namespace salvor::cli {

CommandSpec command_table(GlobalOptions& global) {
  CommandSpec root{
      .name = "salvor",
      .summary = "Backups that are proven to restore",
      .description =
          "Salvor saves revisions of files and directories in an encrypted, deduplicated "
          "repository and "
          "proves that they can be restored. Repositories are in restic's format: restic and "
          "rustic read "
          "what Salvor writes, and Salvor reads theirs. Commands and options are restic's where "
          "restic has "
          "them, and RESTIC_* environment variables work beside the SALVOR_* ones.\n\n"
          "A first backup:\n\n"
          "  salvor init -r /srv/backup\n"
          "  salvor backup -r /srv/backup ~/work\n"
          "  salvor snapshots -r /srv/backup\n"
          "  salvor restore -r /srv/backup latest --target /tmp/restored\n",
      .options = global_option_table(global),
  };
  // clang-format off
  root.commands = {
      audit_command(),
      backup_command(),
      cache_command(),
      cat_command(),
      catalog_command(),
      check_command(),
      completion_command(),
      config_command(),
      copies_command(),
      copy_command(),
      diff_command(),
      doctor_command(),
      drill_command(),
      dump_command(),
      evidence_command(),
      export_command(),
      features_command(),
      find_command(),
      forget_command(),
      generate_command(),
      help_command(),
      import_command(),
      init_command(),
      key_command(),
      list_command(),
      ls_command(),
      migrate_command(),
      mount_command(),
      options_command(),
      plan_command(),
      points_command(),
      postgres_command(),
      prune_command(),
      recover_command(),
      repair_command(),
      rebuild_index_command(),
      restore_command(),
      retention_command(),
      rewrite_command(),
      run_command(),
      runbook_command(),
      schedule_command(),
      runs_command(),
      snapshots_command(),
      stats_command(),
      status_command(),
      tag_command(),
      unlock_command(),
      verify_command(),
      version_command(),
      wal_command(),
  };
  // clang-format on
  return root;
}

}  // namespace salvor::cli
