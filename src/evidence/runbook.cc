#include "evidence/runbook.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "evidence/runbook_commands.h"
#include "model/duration_text.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

std::string literal(std::string_view value) {
  return Document::literal(value);
}

std::string given_text(std::chrono::seconds seconds) {
  return seconds.count() == 0 ? "" : span_text(seconds);
}

std::string application_text(const Application& application) {
  return application.environment.empty() ? application.name
                                         : application.name + ":" + application.environment;
}

bool is_logical(const SourceSpec& source) {
  return source.kind == "postgres" && source.settings.text("method", "physical") == "logical";
}

std::string what_it_is(const SourceSpec& source) {
  if (source.kind == "files") {
    std::string paths = "files:";
    for (const std::string& path : source.settings.list("paths")) {
      paths += " " + literal(path);
    }
    return paths;
  }
  if (source.kind == "postgres") {
    return is_logical(source) ? "PostgreSQL, logical: as text for psql"
           : source.settings.text("wal", "stream") == "none"
               ? "PostgreSQL, physical: as of each backup"
               : "PostgreSQL, physical with its log: any moment";
  }
  return source.kind;
}

void contacts(Document& document, const Application& application) {
  document.heading(2, "Whom to call");
  if (application.contacts.empty()) {
    document.paragraph(
        "The configuration names nobody. Put people with telephone numbers under "
        "`contacts:`; at night this line is the one that is missed.");
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const ContactSpec& contact : application.contacts) {
    rows.push_back({literal(contact.name), literal(contact.role), literal(contact.phone),
                    literal(contact.email),
                    contact.escalate_after.count() == 0
                        ? "at once"
                        : "after " + given_text(contact.escalate_after)});
  }
  document.table({"Name", "Role", "Telephone", "E-mail", "When"}, std::move(rows));
}

void objectives(Document& document, const RunbookInput& input) {
  document.heading(2, "What was promised, and what was measured");
  std::vector<std::vector<std::string>> rows;
  for (const ObjectiveSpec& objective : input.application.objectives) {
    rows.push_back({literal(objective.scenario),
                    objective.source.empty() ? "the application" : literal(objective.source),
                    given_text(objective.rto), given_text(objective.rpo)});
  }
  if (rows.empty()) {
    document.paragraph("The configuration promises nothing (`objectives:`).");
  } else {
    document.table({"Scenario", "What", "Recovered within", "Losing at most"}, std::move(rows));
  }
  std::map<std::pair<std::string, std::string>, const RunRecord*> newest;
  for (const RunRecord& record : input.measured) {
    // Incomplete: recovered, and perhaps later than promised. That is what was measured last.
    if (record.rto_seconds &&
        (record.outcome == RunOutcome::kSucceeded || record.outcome == RunOutcome::kIncomplete)) {
      const RunRecord*& known = newest[{record.subject, record.scenario}];
      known = known == nullptr || known->started < record.started ? &record : known;
    }
  }
  for (const auto& [key, record] : newest) {
    rows.push_back({std::string(name_of(record->kind)), literal(key.first), literal(key.second),
                    utc_text(record->started), duration_text(*record->rto_seconds),
                    record->rpo_seconds ? duration_text(*record->rpo_seconds) : ""});
  }
  if (newest.empty()) {
    document.paragraph("Nothing has been measured yet. `salvor drill run` measures.");
  } else {
    rows.erase(rows.begin(), rows.end() - static_cast<long>(newest.size()));
    document.paragraph("Measured last:");
    document.table({"By", "What", "Scenario", "When", "Recovery took", "Data lost"},
                   std::move(rows));
  }
}

void protected_data(Document& document, const Application& application) {
  document.heading(2, "What is protected, and where");
  std::vector<std::vector<std::string>> rows;
  for (const SourceSpec& source : application.sources) {
    std::string copies;
    for (const CopySpec& copy : source.copies) {
      copies += (copies.empty() ? "" : ", ") + literal(copy.to);
    }
    const PolicySpec* policy = find_named(application.policies, source.policy);
    rows.push_back({literal(source.name), what_it_is(source), literal(source.repository), copies,
                    policy == nullptr ? "" : literal(policy->schedule)});
  }
  document.table({"Source", "What it is", "Repository", "Copies in", "Backed up"}, std::move(rows));
  rows.clear();
  for (const RepositorySpec& repository : application.repositories) {
    std::string credentials;
    for (const auto& [name, value] : repository.environment) {
      const bool reference = SecretReference::parse(value).has_value();
      credentials += (credentials.empty() ? "" : ", ") + literal(name) +
                     (reference ? " in " + literal(value) : "");
    }
    rows.push_back({literal(repository.name), literal(repository.location),
                    literal(repository.password.text()), credentials});
  }
  document.paragraph(
      "The repositories, and where their passwords are. Without a password nothing "
      "can be recovered by anybody: it must also be somewhere else than on the "
      "machines that are protected.");
  document.table({"Repository", "Location", "Password in", "Credentials of the storage"},
                 std::move(rows));
}

void plans(Document& document, const Application& application) {
  if (application.plans.empty()) {
    return;
  }
  document.heading(2, "Recovery plans");
  document.paragraph(
      "Where Salvor and the configuration are at hand, a plan does all of what "
      "follows by itself, goes on after a crash (`salvor plan resume`) and keeps the "
      "old data until the new has proven itself.");
  for (const PlanSpec& plan : application.plans) {
    document.heading(3, "Plan " + literal(plan.name));
    if (!plan.summary.empty()) {
      document.paragraph(literal(plan.summary));
    }
    std::vector<std::string> steps;
    for (const StepSpec& step : plan.steps) {
      std::string line =
          literal(step.title.empty() ? step.id : step.title) + " (" + step.action.kind + ")";
      if (step.only != StepScope::kAlways) {
        line += step.only == StepScope::kDrill ? ", only in drills" : ", only in production";
      }
      if (step.approval) {
        line += ", asks: " + literal(step.approval->question);
      }
      steps.push_back(std::move(line));
    }
    document.list(std::move(steps));
    document.code("sh", "plan-" + plan.name,
                  "salvor plan show " + shell_word(plan.name) + "\nsalvor plan run " +
                      shell_word(plan.name) + " --dry-run\nsalvor plan run " +
                      shell_word(plan.name) + "\n");
  }
}

bool has_cluster(const Application& application, const std::string& repository) {
  return std::any_of(
      application.sources.begin(), application.sources.end(), [&](const SourceSpec& source) {
        return source.repository == repository && source.kind == "postgres" && !is_logical(source);
      });
}

void source_steps(Document& document, const Application& application, const SourceSpec& source,
                  bool with_salvor) {
  using namespace runbook;
  const std::string tag = runbook_source_tag(application, source);
  const std::string way = with_salvor ? "salvor" : "restic";
  document.heading(3, literal(source.name));
  if (source.kind == "files") {
    document.code(
        "sh", way + "-" + source.name,
        with_salvor ? files_with_salvor(source.name, tag) : files_with_restic(source.name, tag));
    document.paragraph("The files are below " + literal("$RECOVERY/" + source.name) +
                       " under the paths that they had. Look at them, then put them in place.");
  } else if (is_logical(source)) {
    document.paragraph("`TARGET_URL` is the new, empty database.");
    document.code(
        "sh", way + "-" + source.name,
        with_salvor ? dump_with_salvor(source.name, tag) : dump_with_restic(source.name, tag));
  } else if (source.kind == "postgres") {
    if (!with_salvor) {
      document.paragraph(
          "The snapshot is a data directory as the server had it. Never remove `backup_label`. The "
          "log since then is in the repository's folder `salvor/`, sealed under its key: "
          "`read-journal.py` from above opens it. Leave out its lines and you get the state of the "
          "snapshot.");
    }
    document.code("sh", way + "-" + source.name,
                  with_salvor ? cluster_with_salvor(source.name, tag)
                              : cluster_with_restic(source.name, tag));
    document.paragraph("Start it where nobody from outside reaches it, and look into it:");
    document.code("sh", "start-" + source.name, cluster_start(source.name, source));
  } else {
    document.paragraph("There is no recipe for a source of kind " + literal(source.kind) +
                       " in this version.");
  }
  for (const std::string& assertion : source.assertions) {
    document.paragraph("Must hold afterwards: " + literal(assertion));
  }
}

void recover(Document& document, const Application& application, bool with_salvor) {
  for (const RepositorySpec& repository : application.repositories) {
    std::vector<const SourceSpec*> sources;
    for (const SourceSpec& source : application.sources) {
      if (source.repository == repository.name) {
        sources.push_back(&source);
      }
    }
    if (sources.empty()) {
      continue;
    }
    document.paragraph("From the repository " + literal(repository.name) + ". The password is in " +
                       literal(repository.password.text()) + ":");
    document.code("sh", "setup-" + repository.name, runbook::setup(repository));
    if (!with_salvor && has_cluster(application, repository.name)) {
      document.paragraph(
          "Save this program as `$RECOVERY/read-journal.py`. It needs Python 3 and "
          "`zstd`:");
      document.code("python", "read-journal.py", std::string(runbook::kJournalReader));
    }
    for (const SourceSpec* source : sources) {
      source_steps(document, application, *source, with_salvor);
    }
  }
}

void copies(Document& document, const Application& application) {
  std::vector<std::string> items;
  for (const SourceSpec& source : application.sources) {
    for (const CopySpec& copy : source.copies) {
      items.push_back(literal(source.name) + " is also in the repository " + literal(copy.to));
    }
  }
  if (!items.empty()) {
    document.paragraph(
        "When a repository is gone: a copy recovers in the same way, with its own "
        "location and password.");
    document.list(std::move(items));
  }
}

}  // namespace

std::string runbook_source_tag(const Application& application, const SourceSpec& source) {
  std::string tag = "salvor:source=" + application_text(application) + "/" + source.name;
  std::replace(tag.begin(), tag.end(), ',', '_');
  return tag;
}

Document make_runbook(const RunbookInput& input) {
  const Application& application = input.application;
  Document document;
  document.heading(1, "Recovery of " + literal(application_text(application)));
  document.paragraph("Written by " + input.program + " on " + utc_text(input.now) + " from " +
                     literal(application.file) +
                     ". Write it anew when the configuration changes, and keep it, with the "
                     "passwords, where the protected machines are not: on paper is fine.");
  document.heading(2, "First");
  document.list(
      {"Do not panic, and do not delete anything: what is broken may still be needed.",
       "Write down the time of the failure. You recover to just before it.",
       "Was it an attack? Then use a clean machine and credentials that were never on the "
       "attacked ones.",
       "Recover beside what is there, look at it, and only then replace anything."});
  contacts(document, application);
  objectives(document, input);
  protected_data(document, application);
  plans(document, application);
  document.heading(2, "On an empty machine, with Salvor");
  document.paragraph(
      "You need the program (one file), a repository's location and its password. No "
      "configuration, no catalog.");
  recover(document, application, true);
  document.heading(2, "On an empty machine, without Salvor");
  document.paragraph(
      "The repositories are in restic's format: `apt-get install restic` (0.14 or "
      "later) is enough for files; for PostgreSQL also the server's packages in the "
      "version of the cluster, and `python3` and `zstd` for its log.");
  recover(document, application, false);
  copies(document, application);
  document.heading(2, "Afterwards");
  document.list({"Back up the recovered application at once: its old backups end at the failure.",
                 "Change passwords that the attacker or the accident may have seen.",
                 "Write down what happened when, and what was missing from these pages."});
  return document;
}

}  // namespace salvor
