// Brings a store back to a moment. Idempotent by RestoreOrder::key: an order that was interrupted
// is finished by the same order, and what had been moved aside stays the old data.
#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "model/utc_text.h"
#include "plan/plan_text.h"
#include "plan/points.h"
#include "plan/run_journal.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

OldData old_data(const std::string& text) {
  if (text == "overwrite") {
    return OldData::kOverwrite;
  }
  return text == "refuse" ? OldData::kRefuse : OldData::kMoveAside;
}

RestoreOrder order_of(StepScene& scene) {
  RestoreOrder order{.moment = {},
                     .base = {},
                     .key = scene.run + "-" + text_hash(scene.step).substr(0, 12),
                     .old_data = old_data(scene.settings.text("old-data")),
                     .target = {},
                     .selection = scene.settings.list("select"),
                     .dry_run = false,
                     .on_step = scene.say,
                     .on_bytes = scene.bytes};
  for (const auto& [name, value] : scene.settings.map("target")) {
    order.target.set(name, value);
  }
  if (scene.point) {
    order.moment = scene.point->moment;
    order.base = scene.point->snapshot;
  }
  return order;
}

class RestoreStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "restore",
        .summary = "brings a source back to a moment",
        .fields = {
            {.name = "source", .help = "source to bring back", .required = true},
            {.name = "to",
             .type = FieldType::kMoment,
             .help = "to which moment",
             .default_text = "the parameter `point`, else latest",
             .example = "2026-11-21 12:00:00 UTC"},
            {.name = "select",
             .type = FieldType::kTextList,
             .help = "only these paths, tables ..., by default everything"},
            {.name = "old-data",
             .help = "what becomes of what is there now; move-aside keeps it until `plan finish`",
             .default_text = "move-aside",
             .choices = {"move-aside", "overwrite", "refuse"}},
            {.name = "target",
             .type = FieldType::kTextMap,
             .help = "another place than the source's own, as the store's kind says; not in a "
                     "drill"}}};
    return kind;
  }
  [[nodiscard]] std::vector<std::string> outputs() const override {
    return {"snapshot", "reached", "old-data", "bytes"};
  }
  [[nodiscard]] bool outside() const override { return false; }
  [[nodiscard]] bool local(const Settings& /*settings*/) const override { return true; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    const std::string to = settings.text("to");
    return "restore " + settings.text("source") + (to.empty() ? "" : " to " + to);
  }
  void complete(Settings& settings, const TextMap& parameters) const override {
    bool has_point = false;
    for (const auto& [name, value] : parameters) {
      has_point = has_point || name == "point";
    }
    if (!settings.has("to")) {
      settings.set("to", std::string(has_point ? "${point}" : "latest"));
    }
  }

  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const std::string source = scene.settings.text("source");
    if (!scene.point) {
      // A moment that an earlier step found out: fixed now, before anything is touched.
      scene.point =
          choose_point(source, scene.settings.text("to", "latest"),
                       scene.site.ranges(scene.context, source), scene.context.clock.now());
    }
    const RestoreOrder order = order_of(scene);
    const RestoreOutcome outcome = scene.site.restore(scene.context, source, order);
    StepResult result;
    result.summary = fmt::format("{} restored, {}", source, format_bytes(outcome.restored_bytes));
    if (outcome.reached) {
      result.summary += ", data until " + utc_text(*outcome.reached);
      result.outputs.emplace_back("reached", time_text(*outcome.reached));
    }
    if (!outcome.old_data.empty() && scene.site.mode() == Mode::kProduction) {
      result.summary += ", old data in " + outcome.old_data;
    }
    result.outputs.emplace_back("snapshot", outcome.snapshot);
    result.outputs.emplace_back("old-data", outcome.old_data);
    result.outputs.emplace_back("bytes", std::to_string(outcome.restored_bytes));
    result.checks = outcome.checks;
    result.facts = outcome.facts;
    return result;
  }

  [[nodiscard]] bool can_undo() const override { return true; }
  void undo(StepScene& scene, const StepResult& done) const override {
    const RestoreOrder order = order_of(scene);
    const std::string source = scene.settings.text("source");
    if (order.old_data == OldData::kMoveAside && scene.interrupted) {
      // Only the store knows how far it had come: it finishes, and then takes it back.
      const RestoreOutcome whole = scene.site.restore(scene.context, source, order);
      scene.site.put_back(scene.context, source, whole, order);
    } else if (order.old_data == OldData::kMoveAside) {
      scene.site.put_back(scene.context, source, outcome_of(done), order);
    } else if (order.old_data == OldData::kOverwrite) {
      throw Error(ErrorCode::kFailed,
                  "what " + scene.settings.text("source") + " held before was overwritten",
                  "Restore it to a moment before this run.");
    }
  }
  void finish(StepScene& scene, const StepResult& done) const override {
    if (order_of(scene).old_data == OldData::kMoveAside) {
      scene.site.discard_old(scene.context, scene.settings.text("source"), outcome_of(done));
    }
  }
  [[nodiscard]] std::string in_the_way(StepScene& scene) const override {
    return scene.site.in_the_way(scene.context, scene.settings.text("source"), order_of(scene));
  }
  [[nodiscard]] std::string destroys(StepScene& scene) const override {
    const RestoreOrder order = order_of(scene);
    return scene.site.would_destroy(scene.context, scene.settings.text("source"), order);
  }

 private:
  // Journalled outputs and facts back into what the store gave.
  static RestoreOutcome outcome_of(const StepResult& done) {
    RestoreOutcome outcome;
    for (const auto& [name, value] : done.outputs) {
      if (name == "snapshot") {
        outcome.snapshot = value;
      } else if (name == "old-data") {
        outcome.old_data = value;
      } else if (name == "reached") {
        outcome.reached = time_of(value);
      }
    }
    outcome.facts = done.facts;
    return outcome;
  }
};

}  // namespace

const Step& restore_step() {
  static const RestoreStep step;
  return step;
}

}  // namespace salvor::plan
