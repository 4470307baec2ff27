// Writes a tree in the export format of ncdu (https://dev.yorhel.nl/ncdu/jsonfmt, version 1.2),
// laid out as restic's `ls --ncdu`: `salvor ls latest --ncdu | ncdu -f -` browses a snapshot by
// size.
#pragma once

#include <string>

#include "cli/output/terminal.h"
#include "model/node.h"
#include "model/snapshot.h"

namespace salvor::cli {

// Not thread-safe. The document is complete after `finish` only.
class NcduPrinter {
 public:
  NcduPrinter(Terminal& terminal, const Snapshot& snapshot);
  // In the order of a walk: a directory before what is in it.
  // `depth`: directories between it and the root.
  void node(size_t depth, const Node& node);
  void finish();

 private:
  void leave_directories_below(size_t depth);
  [[nodiscard]] std::string indent() const;

  Terminal& terminal_;
  size_t open_ = 0;   // directories that are being listed
  std::string line_;  // held back: whether a comma follows is known with the next node
};

}  // namespace salvor::cli
