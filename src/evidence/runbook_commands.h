// The commands in a runbook: texts for a shell, by what they recover.
#pragma once

#include <string>
#include <string_view>

#include "model/application.h"

namespace salvor::runbook {

// Names and values for both ways; everything below expects them.
[[nodiscard]] std::string setup(const RepositorySpec& repository);
// `tag`: of the source's snapshots; `name`: of the source, a directory below $RECOVERY.
[[nodiscard]] std::string files_with_salvor(const std::string& name, const std::string& tag);
[[nodiscard]] std::string files_with_restic(const std::string& name, const std::string& tag);
[[nodiscard]] std::string cluster_with_salvor(const std::string& name, const std::string& tag);
[[nodiscard]] std::string cluster_with_restic(const std::string& name, const std::string& tag);
[[nodiscard]] std::string dump_with_restic(const std::string& name, const std::string& tag);
[[nodiscard]] std::string dump_with_salvor(const std::string& name, const std::string& tag);
// Starts the recovered cluster where only this machine's users reach it, and looks into it.
[[nodiscard]] std::string cluster_start(const std::string& name, const SourceSpec& source);
// A Python program that reads the journal without Salvor.
extern const std::string_view kJournalReader;

}  // namespace salvor::runbook
