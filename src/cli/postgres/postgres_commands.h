// The sub-commands of `postgres` that have files of their own.
#pragma once

#include "cli/command.h"

namespace salvor::cli {

CommandSpec postgres_restore_spec();
CommandSpec postgres_verify_spec();
CommandSpec postgres_dump_spec();
CommandSpec postgres_export_spec();
CommandSpec postgres_load_spec();
CommandSpec postgres_undelete_spec();

}  // namespace salvor::cli
