// What runs and lies here that a backup should cover: for the configuration that `salvor init`
// writes. Only looks: nothing is logged into (postgres_probe.h), nothing is changed.
#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"

namespace salvor::cli {

struct FoundSource {
  std::string name;   // of the source
  std::string kind;   // of the table of stores
  std::string value;  // its short form in salvor.yaml
  std::string why;    // a phrase: "uploads, a folder here"
  // A connection URL without a password that `value` refers to by file:; empty: none.
  std::string url;
  // Of a PostgreSQL server on a socket of this machine: the socket's folder and port.
  std::string socket_folder = {};
  std::string socket_port = {};
  std::string data_directory = {};  // when it is known
};

struct Discovery {
  std::string application;  // a name for it
  std::vector<FoundSource> sources;
  std::vector<std::string> notes;  // sentences on what was seen and cannot be covered yet
};

// `folder` is the application's. Takes a second at most.
[[nodiscard]] Discovery discover(const std::string& folder, const Environment& environment);

}  // namespace salvor::cli
