#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/session.h"

namespace salvor::cli {
namespace {

struct Feature {
  const char* name;
  bool on;
  const char* description;
};

// restic's flags. None can be switched here: what is on has proven itself, what is off is not
// there.
constexpr Feature kFeatures[] = {
    {"backend-error-redesign", true, "requests that are stuck are ended and tried again"},
    {"deprecate-legacy-index", true, "indexes of restic before 0.2 are not read"},
    {"deprecate-s3-legacy-layout", true, "the S3 layout of restic before 0.8 is not read"},
    {"device-id-for-hardlinks", false, "the device is stored for every file, as restic does"},
    {"explicit-s3-anonymous-auth", true, "S3 is never used without credentials unless asked to"},
    {"s3-restore", false, "objects in cold storage classes must be brought back beforehand"},
    {"safe-forget-keep-tags", true, "`forget` refuses a policy that would keep nothing"},
};

int run(Session& session) {
  if (session.terminal.json()) {
    for (const Feature& feature : kFeatures) {
      JsonWriter json;
      json.begin_message("feature").field("name", feature.name);
      json.field("type", feature.on ? "stable" : "deprecated").field("default", feature.on);
      json.field("description", feature.description).end_object();
      session.terminal.print_json(json);
    }
    return 0;
  }
  Table table;
  for (const char* header : {"Name", "Type", "Default", "Description"}) {
    table.add_column(header);
  }
  for (const Feature& feature : kFeatures) {
    table.add_row({feature.name, feature.on ? "stable" : "deprecated",
                   feature.on ? "true" : "false", feature.description});
  }
  session.terminal.print("All Feature Flags:\n\n" + table.text());
  return 0;
}

}  // namespace

CommandSpec features_command() {
  return {
      .name = "features",
      .summary = "Print list of feature flags",
      .description =
          "Lists restic's feature flags and how Salvor behaves. A stable one is always on, a "
          "deprecated one always off; the environment variable RESTIC_FEATURES changes nothing.",
      .heading = "Additional Commands",
      .run = [](Session& session) { return run(session); },
  };
}

}  // namespace salvor::cli
