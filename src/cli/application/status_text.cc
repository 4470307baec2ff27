#include "cli/application/status_text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/text.h"
#include "model/duration_text.h"
#include "protect/status_sentence.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

constexpr size_t kGap = 2;  // between columns

// A table whose cells may have a colour, or the same as blocks where it would be too wide.
class Grid {
 public:
  struct Cell {
    std::string text;
    std::optional<Assurance> color = {};
  };

  explicit Grid(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

  [[nodiscard]] std::string text(const TextStyle& style) const {
    std::vector<size_t> widths;
    size_t all = 0;
    for (size_t column = 0; column < headers_.size(); ++column) {
      size_t width = display_width(headers_[column]);
      for (const auto& row : rows_) {
        width = std::max(width, display_width(row[column].text));
      }
      widths.push_back(width);
      all += width + (column > 0 ? kGap : 0);
    }
    return all <= style.columns ? table(widths, style) : blocks(style);
  }

 private:
  [[nodiscard]] std::string table(const std::vector<size_t>& widths, const TextStyle& style) const {
    const auto line = [&](const auto& cell_at) {
      std::string out;
      size_t pending = 0;
      for (size_t column = 0; column < headers_.size(); ++column) {
        const auto& [plain, shown] = cell_at(column);
        if (plain.empty()) {
          pending += widths[column] + kGap;
          continue;
        }
        out += std::string(pending, ' ') + shown;
        pending = widths[column] - display_width(plain) + kGap;
      }
      return out + "\n";
    };
    std::string out = line([&](size_t column) {
      return std::pair(headers_[column],
                       style.color ? "\x1b[1m" + headers_[column] + "\x1b[0m" : headers_[column]);
    });
    for (const auto& row : rows_) {
      out += line(
          [&](size_t column) { return std::pair(row[column].text, shown(row[column], style)); });
    }
    return out;
  }

  [[nodiscard]] std::string blocks(const TextStyle& style) const {
    size_t label = 0;
    for (size_t column = 2; column < headers_.size(); ++column) {
      label = std::max(label, display_width(headers_[column]));
    }
    std::string out;
    for (const auto& row : rows_) {
      out += (out.empty() ? "" : "\n") + row[0].text + ": " + shown(row[1], style) + "\n";
      for (size_t column = 2; column < headers_.size(); ++column) {
        out += fmt::format("  {:{}}  {}\n", headers_[column], label,
                           row[column].text.empty() ? "-" : shown(row[column], style));
      }
    }
    return out;
  }

  static std::string shown(const Cell& cell, const TextStyle& style) {
    return cell.color ? colored(cell.text, *cell.color, style.color) : cell.text;
  }

  std::vector<std::string> headers_;
  std::vector<std::vector<Cell>> rows_;
};

std::string against(const std::string& measured, const std::optional<std::chrono::seconds>& limit) {
  return limit ? measured + " of " + span_text(*limit) : measured;
}

Grid::Cell loss_cell(const StoreStatus& store) {
  if (!store.exposure) {
    return store.unreachable.empty() ? Grid::Cell{"no backup", Assurance::kBreached}
                                     : Grid::Cell{"not known"};
  }
  const bool over = store.promises.rpo && *store.exposure > *store.promises.rpo;
  return {against(span_text(*store.exposure), store.promises.rpo),
          over ? std::optional(Assurance::kBreached) : std::nullopt};
}

Grid::Cell recovery_cell(const StoreStatus& store) {
  if (!store.recovery_seconds) {
    return {"not measured"};
  }
  const bool over = store.promises.rto &&
                    *store.recovery_seconds > static_cast<double>(store.promises.rto->count());
  return {against((store.recovery_measured ? "" : "~") + duration_text(*store.recovery_seconds),
                  store.promises.rto),
          over
              ? std::optional(store.recovery_measured ? Assurance::kBreached : Assurance::kUnproven)
              : std::nullopt};
}

// What a recovery would take by measured rates, with what that is made of.
std::string forecast_text(const StoreStatus& store) {
  const Forecast& forecast = *store.forecast;
  std::string text =
      fmt::format("{}: a recovery would take about {}: {} at {}/s", printable(store.source),
                  duration_text(forecast.seconds), format_bytes(forecast.bytes),
                  format_bytes(static_cast<uint64_t>(forecast.rates.bytes_per_second)));
  if (forecast.log_seconds > 0) {
    text += fmt::format(", {} for its log", duration_text(forecast.log_seconds));
  }
  if (forecast.fixed_seconds > 0) {
    text += fmt::format(", {} for the rest", duration_text(forecast.fixed_seconds));
  }
  return text + fmt::format(" (measured by {} restore{})", forecast.rates.samples,
                            forecast.rates.samples == 1 ? "" : "s");
}

// "3-2-1-1-0" as it is here: copies, kinds, off-site, immutable ("?" not known), errors.
std::string copies_cell(const CopyCount& copies) {
  return fmt::format("{}-{}-{}-{}-{}{}", copies.copies, copies.kinds, copies.offsite,
                     copies.immutable ? std::to_string(*copies.immutable) : "?", copies.errors,
                     copies.rule_met() ? " ok"
                     : copies.complete ? ""
                                       : " ?");
}

std::string proof_cell(const StoreStatus& store, WallTime now) {
  if (store.failed_proof) {
    return "failed " + ago_text(now - store.failed_proof->at);
  }
  return store.last_proof ? ago_text(now - store.last_proof->at) : "never";
}

void append_concern(std::string& out, const std::string& subject, const Concern& concern,
                    const TextStyle& style) {
  const std::string mark =
      colored(concern.weight == Assurance::kProven ? "note" : std::string(name_of(concern.weight)),
              concern.weight, style.color);
  const size_t width = std::min<size_t>(style.columns, 100);
  const std::string head = printable(subject.empty() ? "" : subject + ": ");
  std::string body;
  for (const std::string& line : wrap(head + printable(concern.what) + ".", width - 4)) {
    body += (body.empty() ? "" : "\n    ") + line;
  }
  out += mark + (style.columns < 60 ? "\n    " : "  ") + body + "\n";
  for (const std::string& line : wrap(concern.next, width - 4)) {
    out += "    " + line + "\n";
  }
}

std::optional<WallTime> at_of(const std::optional<Due>& due) {
  return due ? std::optional(due->at) : std::nullopt;
}

void append_promises(JsonWriter& json, const Promises& promises) {
  append_seconds(json, "rpo_seconds", promises.rpo);
  append_seconds(json, "rto_seconds", promises.rto);
}

void append_common(JsonWriter& json, std::string_view name,
                   const std::optional<CommonPoint>& common) {
  json.key(name);
  if (!common) {
    json.null();
    return;
  }
  json.begin_object();
  append_time(json, "time", common->time);
  append_seconds(json, "skew_seconds", common->skew);
  json.end_object();
}

void append_concerns(JsonWriter& json, const std::vector<Concern>& concerns) {
  json.key("concerns").begin_array();
  for (const Concern& concern : concerns) {
    json.begin_object().field("weight", concern.weight == Assurance::kProven
                                            ? std::string_view("note")
                                            : name_of(concern.weight));
    json.field("what", concern.what).field("next", concern.next).end_object();
  }
  json.end_array();
}

void append_forecast(JsonWriter& json, const std::optional<Forecast>& forecast) {
  json.key("forecast");
  if (!forecast) {
    json.null();
    return;
  }
  json.begin_object().field("seconds", forecast->seconds).field("bytes", forecast->bytes);
  json.field("restore_seconds", forecast->restore_seconds);
  json.field("log_seconds", forecast->log_seconds).field("fixed_seconds", forecast->fixed_seconds);
  json.field("bytes_per_second", forecast->rates.bytes_per_second);
  json.field("samples", forecast->rates.samples).end_object();
}

void append_store(JsonWriter& json, const StoreStatus& store) {
  json.begin_object().field("source", store.source).field("kind", store.kind);
  json.field("repository", store.repository).field("state", name_of(store.state));
  append_time(json, "seen_at", store.seen_at);
  json.key("unreachable");
  store.unreachable.empty() ? json.null() : json.value(store.unreachable);
  append_promises(json, store.promises);
  append_time(json, "recoverable_to", store.newest);
  append_time(json, "proven_to", store.proven);
  append_seconds(json, "exposure_seconds", store.exposure);
  append_seconds(json, "verified_exposure_seconds", store.verified_exposure);
  append_seconds(json, "worst_case_seconds", store.worst_case);
  json.field("log_followed", store.open_ended).field("points", store.points.size());
  json.key("recovery_seconds");
  store.recovery_seconds ? json.value(*store.recovery_seconds) : json.null();
  json.field("recovery_measured", store.recovery_measured);
  append_forecast(json, store.forecast);
  append_time(json, "proven_at",
              store.last_proof ? std::optional(store.last_proof->at) : std::nullopt);
  append_time(json, "proof_stands_until", store.proof_stands_until);
  json.key("copies").begin_object().field("copies", store.copies.copies);
  json.field("kinds", store.copies.kinds).field("offsite", store.copies.offsite).key("immutable");
  store.copies.immutable ? json.value(*store.copies.immutable) : json.null();
  append_time(json, "immutable_seen", store.copies.immutable_seen_at);
  json.field("errors", store.copies.errors).field("rule_met", store.copies.rule_met()).end_object();
  append_time(json, "last_backup",
              store.last_backup ? std::optional(store.last_backup->started) : std::nullopt);
  append_time(json, "next_backup", at_of(store.promises.next_backup));
  append_time(json, "next_proof", at_of(store.promises.next_proof));
  append_concerns(json, store.concerns);
  json.end_object();
}

std::string seconds_or_dash(const std::optional<double>& seconds) {
  return seconds ? duration_text(*seconds) : "-";
}

}  // namespace

std::string colored(const std::string& text, Assurance state, bool color) {
  // Green, yellow, magenta, red: each with its word beside it, for those who do not see colours.
  constexpr std::array<const char*, 4> kColors{"\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[1;31m"};
  return color ? kColors.at(static_cast<size_t>(state)) + text + "\x1b[0m" : text;
}

void append_time(JsonWriter& json, std::string_view name, const std::optional<WallTime>& time) {
  json.key(name);
  LocalZone zone;
  time && *time != WallTime{} ? json.value(zone.stamp(*time)) : json.null();
}

void append_seconds(JsonWriter& json, std::string_view name,
                    const std::optional<std::chrono::nanoseconds>& span) {
  json.key(name);
  span ? json.value(std::chrono::duration<double>(*span).count()) : json.null();
}

std::string status_text(const StatusReport& report, const TextStyle& style) {
  std::string out;
  for (const std::string& line : wrap(status_sentence(report), style.columns)) {
    out += colored(line, report.state, style.color) + "\n";
  }
  if (report.stores.empty()) {
    return out;
  }
  Grid grid({"Store", "State", "Would lose", "Recovery", "Copies", "Last proof", "Next proof"});
  for (const StoreStatus& store : report.stores) {
    const std::optional<Due>& next = store.promises.next_proof;
    grid.add({{printable(store.source)},
              {std::string(name_of(store.state)), store.state},
              loss_cell(store),
              recovery_cell(store),
              {copies_cell(store.copies)},
              {proof_cell(store, report.at)},
              {next ? due_text(next->at, report.at) : "not planned"}});
  }
  out += "\n" + grid.text(style);
  std::string forecasts;
  for (const StoreStatus& store : report.stores) {
    if (store.forecast) {
      for (const std::string& line : wrap(forecast_text(store) + ".", style.columns)) {
        forecasts += line + "\n";
      }
    }
  }
  out += forecasts.empty() ? "" : "\n" + forecasts;
  std::string concerns;
  for (const Concern& concern : report.concerns) {
    append_concern(concerns, "", concern, style);
  }
  for (const StoreStatus& store : report.stores) {
    for (const Concern& concern : store.concerns) {
      append_concern(concerns, store.source, concern, style);
    }
  }
  return out + (concerns.empty() ? "" : "\n" + concerns);
}

JsonWriter status_json(const StatusReport& report) {
  JsonWriter json;
  json.begin_message("recovery_status").field("application", report.application);
  json.field("environment", report.environment);
  append_time(json, "time", report.at);
  json.field("state", name_of(report.state)).field("sentence", status_sentence(report));
  append_promises(json, report.promises);
  append_common(json, "common_point", report.common);
  append_common(json, "proven_common_point", report.proven_common);
  append_time(json, "proven_at", report.proven_at);
  json.key("recovery_seconds");
  report.recovery_seconds ? json.value(*report.recovery_seconds) : json.null();
  json.field("recovery_measured", report.recovery_measured);
  append_time(json, "next_proof", at_of(report.next_proof));
  append_concerns(json, report.concerns);
  json.key("stores").begin_array();
  for (const StoreStatus& store : report.stores) {
    append_store(json, store);
  }
  json.end_array().end_object();
  return json;
}

std::string figures_text(const std::vector<SourceFigures>& figures, const TextStyle& style) {
  Grid grid({"Store", "Period", "Backups", "Good", "Mean", "Longest", "Added", "Proofs", "Recovery",
             "Lost"});
  for (const SourceFigures& source : figures) {
    for (const KeyFigures& period : source.periods) {
      const bool low = period.success_rate && *period.success_rate < kSuccessTarget;
      const bool slow =
          period.mean_backup_seconds &&
          *period.mean_backup_seconds > std::chrono::duration<double>(kBackupTarget).count();
      const bool late =
          period.longest_recovery_seconds && source.promises.rto &&
          *period.longest_recovery_seconds > static_cast<double>(source.promises.rto->count());
      const auto red = [](bool wrong) {
        return wrong ? std::optional(Assurance::kBreached) : std::nullopt;
      };
      grid.add({{printable(source.source)},
                {fmt::format("{} days", period.days.count())},
                {period.expected > 0 ? fmt::format("{} of {}", period.good, period.expected)
                                     : "none due"},
                {period.success_rate
                     ? fmt::format("{:.1f} %", std::floor(*period.success_rate * 1000) / 10)
                     : "-",
                 red(low)},
                {seconds_or_dash(period.mean_backup_seconds), red(slow)},
                {seconds_or_dash(period.longest_backup_seconds)},
                {format_bytes(period.added_bytes)},
                {fmt::format("{} of {}", period.proofs_passed, period.proofs),
                 red(period.proofs_passed < period.proofs)},
                {seconds_or_dash(period.longest_recovery_seconds), red(late)},
                {seconds_or_dash(period.most_lost_seconds)}});
    }
  }
  return grid.text(style) +
         fmt::format("\nTargets: {:.1f} % of the runs that were due, less than {} each.\n",
                     kSuccessTarget * 100, span_text(kBackupTarget));
}

JsonWriter figures_json(const std::vector<SourceFigures>& figures) {
  JsonWriter json;
  json.begin_message("key_figures").key("stores").begin_array();
  const auto optional = [&](std::string_view name, const std::optional<double>& value) {
    json.key(name);
    value ? json.value(*value) : json.null();
  };
  for (const SourceFigures& source : figures) {
    json.begin_object().field("source", source.source);
    append_promises(json, source.promises);
    json.key("periods").begin_array();
    for (const KeyFigures& period : source.periods) {
      json.begin_object().field("days", period.days.count());
      append_time(json, "since", period.since);
      json.field("expected", period.expected).field("good", period.good);
      json.field("failed", period.failed);
      optional("success_rate", period.success_rate);
      optional("mean_backup_seconds", period.mean_backup_seconds);
      optional("longest_backup_seconds", period.longest_backup_seconds);
      json.field("added_bytes", period.added_bytes).field("proofs", period.proofs);
      json.field("proofs_passed", period.proofs_passed);
      optional("mean_recovery_seconds", period.mean_recovery_seconds);
      optional("longest_recovery_seconds", period.longest_recovery_seconds);
      optional("most_lost_seconds", period.most_lost_seconds);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().field("success_target", kSuccessTarget);
  append_seconds(json, "backup_target_seconds", kBackupTarget);
  json.end_object();
  return json;
}

}  // namespace salvor::cli
