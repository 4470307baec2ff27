// What a plan's step can do, and what it works with. One kind is one file in plan/steps/.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/secret.h"
#include "engine/store.h"
#include "model/plan_spec.h"
#include "model/step_kind.h"
#include "plan/site.h"
#include "plan/variables.h"

namespace salvor::plan {

// Gets secrets and remembers them, so that they can be taken out of texts. Thread-safe.
class Secrets {
 public:
  using Lookup = std::function<Secret(const SecretReference&)>;
  explicit Secrets(Lookup lookup) : lookup_(std::move(lookup)) {}

  // A reference's secret, or `text` itself when it is none. Throws Error.
  [[nodiscard]] Secret resolve(const std::string& text);
  // `text` with every secret so far, and passwords in URLs, replaced by "***".
  [[nodiscard]] std::string hide(std::string_view text) const;
  // Bytes of the longest secret so far: of a text that was cut, so many at the cut may be a part of
  // one that `hide` does not know.
  [[nodiscard]] size_t longest() const;

 private:
  void remember(const Secret& secret);  // under mutex_

  Lookup lookup_;
  mutable std::mutex mutex_;
  std::vector<Secret> seen_;  // the longest first: one may be a part of another
};

// What a step gave.
struct StepResult {
  std::string summary;  // what it did, one line
  TextMap outputs;      // for ${step.output}
  std::vector<CheckResult> checks;
  TextMap facts;  // what its undo needs to know
};

// The point that a restore will use, fixed before anything is touched.
struct PinnedPoint {
  std::string source;
  std::string asked;     // as it was written
  std::string snapshot;  // full id
  Moment moment;
  WallTime captured;
  WallTime until;   // what can be reached from that snapshot on
  WallTime wanted;  // the moment asked for, as an instant
  uint64_t bytes = 0;
};

struct Approval {
  bool granted = false;
  std::string by;
  std::string comment;
  std::string hash = {};  // approval_hash of what was approved; empty: an older version's
};

// What a step works with; references outlive the call.
struct StepScene {
  const Context& context;  // stops at the step's timeout, too
  Site& site;
  Secrets& secrets;
  std::string run;   // the run's id
  std::string step;  // the step's
  // Where this attempt may keep files: "<files>.status" and the like. For a probe: the attempt's
  // that it is about.
  std::filesystem::path files;
  Settings raw;       // before expansion
  Settings settings;  // expanded
  VariableLookup lookup;
  TextMap notes;                     // what earlier attempts noted
  std::set<std::string> wanted;      // its outputs that the plan refers to
  std::optional<PinnedPoint> point;  // of a restore, when known at the start
  // Of an attempt whose end nobody saw: whether this machine began it and has been up ever since.
  bool same_boot = false;
  // Of an undo: the last attempt's end is not known.
  bool interrupted = false;
  // Of a drill's commands: "off", or "open" and why; set when one is made.
  std::string network;
  // Durable before it returns: what a later probe must know. Blocks.
  std::function<void(const std::string& key, const std::string& value)> note;
  std::function<void(const std::string&)> say;    // one sentence of progress
  std::function<void(uint64_t, uint64_t)> bytes;  // (done, total)
  std::function<Approval(const std::string& question, const std::vector<std::string>& by)> ask;
  std::function<void(const std::string& severity, const std::string& text)> announce;

  [[nodiscard]] std::string note_of(const std::string& key) const;
};

enum class Probed : uint8_t {
  kNotDone,  // or harmless to do again: run it
  kDone,     // its effect is there: go on
  kUnknown,  // nobody can know: a person decides
};

struct ProbeAnswer {
  Probed state = Probed::kNotDone;
  StepResult result = {};  // of kDone
  std::string why;         // a phrase
};

// The value of a setting that may be a reference to a secret. A text into which the output of a
// step was put is never taken for a reference: what a program prints must not name a file to read
// or a command to run. Throws Error.
[[nodiscard]] Secret secret_setting(StepScene& scene, const std::string& name);
[[nodiscard]] std::vector<std::pair<std::string, Secret>> secret_settings(StepScene& scene,
                                                                          const std::string& name);

// `text` as the journal can keep it and an argument can carry it: bytes that are no UTF-8, and
// zeros, become U+FFFD; what is longer than `limit_bytes` is cut.
[[nodiscard]] std::string as_plain_text(std::string_view text, size_t limit_bytes);

// A kind of step. Stateless; any thread, one call at a time for one step.
class Step {
 public:
  virtual ~Step() = default;
  [[nodiscard]] virtual const StepKind& kind() const = 0;
  // Names of the outputs besides those that `outputs` in the settings declares.
  [[nodiscard]] virtual std::vector<std::string> outputs() const { return {}; }
  // Whether it acts on something that a sandbox does not replace. In a drill such a step runs only
  // when it refers to the target, or is said to (`in-drill: run`, `only: drill`).
  [[nodiscard]] virtual bool outside() const { return true; }
  // Whether what it does stays on the machine that runs it: another one that takes the run over has
  // none of it.
  [[nodiscard]] virtual bool local(const Settings& /*settings*/) const { return false; }
  // Puts in what was left out and stands for something else ("url" for "${target.url}").
  // `parameters`: of the plan.
  virtual void complete(Settings& /*settings*/, const TextMap& /*parameters*/) const {}
  // "restore db to 12:00", for people; settings may be unexpanded.
  [[nodiscard]] virtual std::string describe(const Settings& settings) const = 0;

  // What would stop it, seen before anything is touched, a sentence each. `scene.settings` holds
  // what is known by then; the rest stays as "${...}".
  [[nodiscard]] virtual std::vector<std::string> preflight(StepScene& /*scene*/) const {
    return {};
  }
  // After an attempt whose end nobody saw.
  [[nodiscard]] virtual ProbeAnswer probe(StepScene& /*scene*/) const { return {}; }
  // Checks that do not hold are the caller's business. Throws Error.
  [[nodiscard]] virtual StepResult run(StepScene& scene) const = 0;
  [[nodiscard]] virtual bool can_undo() const { return false; }
  // Of what was done, or half done (then `done` is empty). Must bear being called again.
  virtual void undo(StepScene& /*scene*/, const StepResult& /*done*/) const {}
  // The run is accepted: what was kept for the undo may go. Must bear being called again.
  virtual void finish(StepScene& /*scene*/, const StepResult& /*done*/) const {}
  // What keeps it from beginning as things are now, but may be gone when the steps before it are
  // done; empty: nothing.
  [[nodiscard]] virtual std::string in_the_way(StepScene& /*scene*/) const { return {}; }
  // Whether it may take away what is in another step's way: stop a server, say.
  [[nodiscard]] virtual bool may_clear_the_way() const { return false; }
  // What it destroys, for the question before a production run; empty: nothing.
  [[nodiscard]] virtual std::string destroys(StepScene& /*scene*/) const { return {}; }
};

// Fields that kinds share.
[[nodiscard]] FieldSpec in_drill_field();
[[nodiscard]] FieldSpec repeatable_field();

}  // namespace salvor::plan
