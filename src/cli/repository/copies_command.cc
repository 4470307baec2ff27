#include <algorithm>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/copies/copies.h"
#include "storage/doctor.h"
#include "storage/location.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> with;
  std::vector<std::string> password_files;
  FilterOptions filter;
  bool require_rule = false;
};

struct Place {
  std::string location;
  std::string shown;
};

// What can be said about a place without its password.
void examine(Session& session, const std::string& location, Party party, CopyPlace& place) {
  place.kind = place_kind(location);
  place.offsite = is_offsite(location, current_host_name());
  try {
    const StorageReport report =
        examine_storage(session.context, location, storage_options(session, party));
    if (report.verdict.destroyable != Answer::kUnknown) {
      place.immutable = report.verdict.destroyable == Answer::kNo;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    session.terminal.warn("cannot find out whether " + display_location(location) +
                              " can be changed: " + error.message(),
                          error.hint());
  }
}

CopyPlace look_into(Session& session, const Options& options, const std::string& location,
                    Party party, Repository& repository) {
  CopyPlace place;
  examine(session, location, party, place);
  std::vector<UnreadableObject> unreadable;
  place.snapshots =
      select_snapshots(session.context, repository, {}, options.filter.filter(), &unreadable)
          .snapshots;
  repository.load_index(session.context, &unreadable);
  report_unreadable(session, unreadable);
  uint64_t lost = count_lost_packs(session.context, repository);
  if (lost > 0) {  // a prune may have been under way: no lock is held
    repository.load_index(session.context);
    lost = count_lost_packs(session.context, repository);
  }
  if (lost > 0) {
    session.terminal.warn(std::to_string(lost) + " packs of " + display_location(location) +
                              " are missing or too short",
                          "Run `salvor check` there.");
  }
  place.errors = unreadable.size() + lost;
  return place;
}

Secret password_of(const Options& options, size_t number, const Secret& main) {
  if (options.password_files.empty()) {
    return main;
  }
  const std::string& file = options.password_files.size() == 1 ? options.password_files.front()
                                                               : options.password_files[number];
  return decode_password_text(as_text(read_file(file, 64 << 10).view()));
}

void print_json(Session& session, const std::vector<Place>& names,
                const std::vector<CopyPlace>& places, const std::vector<CopiedSnapshot>& copies,
                const CopyRule& rule) {
  JsonWriter json;
  json.begin_message("copies").key("places").begin_array();
  for (size_t i = 0; i < places.size(); ++i) {
    json.begin_object().field("repository", names[i].shown).field("kind", places[i].kind);
    json.field("snapshots", places[i].snapshots.size()).field("offsite", places[i].offsite);
    json.key("immutable");
    places[i].immutable ? json.value(*places[i].immutable) : json.null();
    json.field("errors", places[i].errors).end_object();
  }
  json.end_array().key("snapshots").begin_array();
  for (const CopiedSnapshot& copied : copies) {
    const Snapshot& snapshot = copied.snapshot.snapshot;
    json.begin_object().field("id", copied.snapshot.id.hex()).field("time", snapshot.time);
    json.field("hostname", snapshot.hostname).field("paths", snapshot.paths);
    json.key("places").begin_array();
    for (const size_t place : copied.places) {
      json.value(place);
    }
    json.end_array().end_object();
  }
  json.end_array().key("rule").begin_object();
  json.field("copies", rule.copies).field("kinds", rule.kinds).field("offsite", rule.offsite);
  json.field("immutable", rule.immutable).field("errors", rule.errors).field("met", rule.met());
  session.terminal.print_json(json.end_object().end_object());
}

std::string marked(bool good, const std::string& text) {
  return std::string(good ? "  ok    " : "  MISS  ") + text;
}

void print_text(Session& session, const std::vector<Place>& names,
                const std::vector<CopyPlace>& places, const std::vector<CopiedSnapshot>& copies,
                const CopyRule& rule) {
  Table where;
  where.add_column("Place", Table::Align::kRight);
  where.add_column("Repository");
  where.add_column("Snapshots", Table::Align::kRight);
  where.add_column("Off-site");
  where.add_column("Immutable");
  where.add_column("Errors", Table::Align::kRight);
  for (size_t i = 0; i < places.size(); ++i) {
    const CopyPlace& place = places[i];
    where.add_row({std::to_string(i + 1), printable(names[i].shown),
                   std::to_string(place.snapshots.size()), place.offsite ? "yes" : "no",
                   !place.immutable   ? "not known"
                   : *place.immutable ? "yes"
                                      : "no",
                   std::to_string(place.errors)});
  }
  session.terminal.print(where.text());
  session.terminal.print_line("");
  Table table;
  table.add_column("ID");
  table.add_column("Time");
  table.add_column("Host");
  table.add_column("Paths");
  table.add_column("In places");
  for (const CopiedSnapshot& copied : copies) {
    const Snapshot& snapshot = copied.snapshot.snapshot;
    std::string in;
    for (const size_t place : copied.places) {
      in += (in.empty() ? "" : " ") + std::to_string(place + 1);
    }
    std::string paths;
    for (const std::string& path : snapshot.paths) {
      paths += (paths.empty() ? "" : "\n") + printable(path);
    }
    table.add_row({copied.snapshot.id.short_hex(), local_time_text(snapshot.time),
                   printable(snapshot.hostname), paths, in});
  }
  session.terminal.print(table.text());
  session.terminal.print_line(
      "\n3-2-1-1-0, with the original, each for the snapshot that has the fewest:");
  session.terminal.print_line(marked(
      rule.copies >= 3, fmt::format("3 copies: every snapshot has at least {}", rule.copies)));
  session.terminal.print_line(
      marked(rule.kinds >= 2, fmt::format("2 kinds of storage: {}", rule.kinds)));
  session.terminal.print_line(
      marked(rule.offsite >= 1, fmt::format("1 off-site: {}", rule.offsite)));
  session.terminal.print_line(
      marked(rule.immutable >= 1, fmt::format("1 immutable: {}", rule.immutable)));
  session.terminal.print_line(marked(rule.errors == 0, fmt::format("0 errors: {}", rule.errors)));
}

// A place that is counted twice makes three copies of two.
void refuse_twice(const Options& options, const std::string& main) {
  std::set<std::string> keys{place_key(main)};
  for (const std::string& location : options.with) {
    if (!keys.insert(place_key(location)).second) {
      throw Error(ErrorCode::kUsage, display_location(location) + " is named twice",
                  "A repository is one copy, however often it is named: leave it out.");
    }
  }
}

int run(const Options& options, Session& session) {
  if (options.password_files.size() > 1 && options.password_files.size() != options.with.size()) {
    throw Error(ErrorCode::kUsage,
                "--with-password-file must be given once, or as often as --with");
  }
  refuse_twice(options, repository_location(session));
  const OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kNone, .keep_password = true});
  std::vector<Place> names{{repository_location(session), opened.location}};
  std::vector<CopyPlace> places{
      look_into(session, options, names[0].location, Party::kMain, *opened.repository)};
  for (size_t i = 0; i < options.with.size(); ++i) {
    const std::string& location = options.with[i];
    const auto repository =
        Repository::open(session.context, open_limited_storage(session, location, Party::kSource),
                         password_of(options, i, *opened.password),
                         {.threads = std::max(1U, std::thread::hardware_concurrency())});
    names.push_back({location, display_location(location)});
    places.push_back(look_into(session, options, location, Party::kSource, *repository));
  }
  const auto copies = match_copies(places);
  const CopyRule rule = count_rule(places, copies);
  if (session.terminal.json()) {
    print_json(session, names, places, copies, rule);
  } else {
    print_text(session, names, places, copies, rule);
  }
  if (session.events.errors() > 0) {
    return exit_status(ErrorCode::kIncomplete);
  }
  return options.require_rule && !rule.met() ? exit_status(ErrorCode::kFailed) : 0;
}

}  // namespace

CommandSpec copies_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "copies",
      .summary = "Show which snapshots are in how many places",
      .description =
          "Looks into several repositories (--repo and each --with) and shows for each snapshot "
          "where it and its copies are, and whether that meets the 3-2-1-1-0 rule: three copies "
          "with the original, two kinds of storage, one off-site, one immutable, zero errors.\n\n"
          "All of it is counted from what is there: copies are recognised by what they were copied "
          "from, \"immutable\" is what `salvor doctor` finds out about the credentials in use, "
          "errors are snapshots that cannot be read and packs that are missing or too short. Make "
          "copies with `salvor copy`, and thin them out with `salvor forget` where they are.\n\n"
          "Takes no locks. The other repositories have the password of the first, or those of "
          "--with-password-file.",
      .options = {{.long_name = "with",
                   .value_name = "repository",
                   .help = "another place to look into",
                   .target = &options->with,
                   .hint = ValueHint::kDirectory},
                  {.long_name = "with-password-file",
                   .value_name = "file",
                   .help = "file with the password of the other repositories; once for all, or "
                           "once for each --with in their order",
                   .target = &options->password_files,
                   .hint = ValueHint::kFile},
                  {.long_name = "require-rule",
                   .help = "end with status 1 unless 3-2-1-1-0 is met",
                   .target = &options->require_rule}},
      .examples = {{"salvor copies -r /srv/backup --with s3:s3.amazonaws.com/my-backups/db",
                    "A local repository and its copy elsewhere"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{1, "an error; with --require-rule also: the rule is not met"},
                                     {3, "a snapshot could not be read; the others were counted"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
