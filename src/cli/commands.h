// Every command there is. Each factory is defined in its own file, src/cli/<name>_command.cc.
#pragma once

#include "cli/command.h"
#include "cli/global_options.h"

namespace salvor::cli {

CommandSpec audit_command();
CommandSpec backup_command();
CommandSpec cache_command();
CommandSpec cat_command();
CommandSpec catalog_command();
CommandSpec check_command();
CommandSpec completion_command();
CommandSpec config_command();
CommandSpec copies_command();
CommandSpec copy_command();
CommandSpec diff_command();
CommandSpec doctor_command();
CommandSpec drill_command();
CommandSpec dump_command();
CommandSpec evidence_command();
CommandSpec export_command();
CommandSpec features_command();
CommandSpec find_command();
CommandSpec forget_command();
CommandSpec generate_command();
CommandSpec help_command();
CommandSpec import_command();
CommandSpec init_command();
CommandSpec key_command();
CommandSpec list_command();
CommandSpec ls_command();
CommandSpec migrate_command();
CommandSpec mount_command();
CommandSpec options_command();
CommandSpec plan_command();
CommandSpec points_command();
CommandSpec postgres_command();
CommandSpec prune_command();
CommandSpec recover_command();
CommandSpec repair_command();
CommandSpec rebuild_index_command();  // what restic called `repair index` before, for scripts
CommandSpec restore_command();
CommandSpec retention_command();
CommandSpec rewrite_command();
CommandSpec run_command();
CommandSpec runs_command();
CommandSpec runbook_command();
CommandSpec schedule_command();
CommandSpec snapshots_command();
CommandSpec stats_command();
CommandSpec status_command();
CommandSpec tag_command();
CommandSpec unlock_command();
CommandSpec verify_command();
CommandSpec version_command();
CommandSpec wal_command();

// The root of the table: the program itself, its options bound to `global`.
[[nodiscard]] CommandSpec command_table(GlobalOptions& global);

}  // namespace salvor::cli
