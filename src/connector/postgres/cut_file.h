// Relation files on their way to the engine: cut at page borders, as their earlier content was.
#pragma once

#include <memory>
#include <string>

#include "connector/postgres/incremental_plan.h"
#include "connector/source.h"

namespace salvor::postgres {

// How the engine gets `file`, whose content of `size` bytes belongs to `path`: itself, or (a
// relation of more than a cell) in parts of `cell` bytes (page_parts.h). `earlier` may be null.
[[nodiscard]] std::shared_ptr<FileOpener> cut_relation(std::shared_ptr<FileOpener> file,
                                                       const std::string& path, uint64_t size,
                                                       uint64_t cell, const EarlierBackup* earlier);

}  // namespace salvor::postgres
