// A place for plans whose stores are files in a directory: "<root>/<source>" is the store, and old
// data is moved aside to "<root>/<source>.old-<key>". What happens to it survives the process, so
// that tests may kill it.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "plan/plan_run.h"
#include "plan/site.h"

namespace salvor::test {

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
}
inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class FakeSite final : public plan::Site {
 public:
  FakeSite(std::filesystem::path root, plan::Mode mode = plan::Mode::kProduction)
      : root_(std::move(root)), mode_(mode) {}
  void add(const std::string& source, std::vector<RecoveryRange> ranges) {
    ranges_[source] = std::move(ranges);
  }
  TextMap more_outputs;
  std::vector<CheckResult> checks{
      {.name = "counts", .passed = true, .value = "3", .expected = "3", .seconds = 0.1}};

  [[nodiscard]] plan::Mode mode() const override { return mode_; }
  [[nodiscard]] std::vector<std::string> sources() const override {
    std::vector<std::string> names;
    for (const auto& [name, ranges] : ranges_) {
      names.push_back(name);
    }
    return names;
  }
  [[nodiscard]] TextMap outputs(const std::string& source) override {
    TextMap map{{"directory", (root_ / source).string()}};
    map.insert(map.end(), more_outputs.begin(), more_outputs.end());
    return map;
  }
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context&,
                                                  const std::string& source) override {
    return ranges_.at(source);
  }
  [[nodiscard]] std::vector<ProbeResult> probe(const Context&, const std::string&) override {
    return {};
  }
  [[nodiscard]] std::string would_destroy(const Context&, const std::string& source,
                                          const RestoreOrder&) override {
    return std::filesystem::exists(root_ / source) ? "what is in " + source : "";
  }
  [[nodiscard]] std::string in_the_way(const Context&, const std::string&,
                                       const RestoreOrder&) override {
    return in_the_way_;
  }
  void stand_in_the_way(std::string what) { in_the_way_ = std::move(what); }
  [[nodiscard]] RestoreOutcome restore(const Context&, const std::string& source,
                                       const RestoreOrder& order) override {
    const auto aside = aside_of(source, order);
    if (!std::filesystem::exists(aside) && std::filesystem::exists(root_ / source)) {
      std::filesystem::rename(root_ / source, aside);
    }
    write_text(root_ / source, "restored " + order.moment.display() + " from " + order.base);
    std::ofstream(root_ / (source + ".restores"), std::ios::app) << order.key << "\n";
    return {.snapshot = order.base,
            .reached = std::nullopt,
            .restored_bytes = 11,
            .written_bytes = 11,
            .old_data = aside.string(),
            .checks = {},
            .facts = {{"moved " + source, aside.string()}}};
  }
  void put_back(const Context&, const std::string& source, const RestoreOutcome&,
                const RestoreOrder& order) override {
    if (const auto aside = aside_of(source, order); std::filesystem::exists(aside)) {
      std::filesystem::rename(aside, root_ / source);
    }
  }
  void discard_old(const Context&, const std::string&, const RestoreOutcome& outcome) override {
    std::filesystem::remove(outcome.old_data);
  }
  [[nodiscard]] std::vector<CheckResult> check(const Context&, const std::string&) override {
    return checks;
  }

 private:
  std::string in_the_way_;
  [[nodiscard]] std::filesystem::path aside_of(const std::string& source,
                                               const RestoreOrder& order) const {
    return root_ / (source + ".old-" + plan::file_name_of(order.key));
  }

  std::filesystem::path root_;
  plan::Mode mode_;
  std::map<std::string, std::vector<RecoveryRange>> ranges_;
};

class EventList final : public plan::RunObserver {
 public:
  void on(const plan::RunEvent& event) override {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
  }
  [[nodiscard]] std::vector<plan::RunEvent> all() const {
    const std::scoped_lock lock(mutex_);
    return events_;
  }
  // Of all sentences.
  [[nodiscard]] std::string text() const {
    std::string text;
    for (const plan::RunEvent& event : all()) {
      text += event.step + ": " + event.text + " " + event.hint + "\n";
    }
    return text;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<plan::RunEvent> events_;
};

class FakePeople final : public plan::People {
 public:
  std::optional<plan::Approval> answer;
  std::string decision;
  [[nodiscard]] std::optional<plan::Approval> approval(const std::string&, const std::string&,
                                                       const std::vector<std::string>&) override {
    return answer;
  }
  [[nodiscard]] std::string decide(const std::string&, const std::string&) override {
    return decision;
  }
  [[nodiscard]] std::string who() const override { return "tester@here"; }
};

// A step with the fields that tests need most.
inline StepSpec make_step(const std::string& id, const std::string& kind, Settings settings,
                          std::vector<std::string> after = {}) {
  return {.id = id,
          .title = id,
          .action = {.kind = kind, .settings = std::move(settings)},
          .after = std::move(after),
          .group = {},
          .timeout = std::chrono::seconds(60),
          .retries = 0,
          .retry_delay = std::chrono::seconds(0),
          .on_failure = OnFailure::kStop,
          .only = StepScope::kAlways,
          .undo = std::nullopt,
          .approval = std::nullopt};
}

inline Settings texts(const std::string& name, std::vector<std::string> values) {
  Settings settings;
  settings.set(name, std::move(values));
  return settings;
}

inline StepSpec shell_step(const std::string& id, const std::string& line,
                           std::vector<std::string> after = {}) {
  return make_step(id, "command", texts("command", {line}), std::move(after));
}

inline StepSpec restore_of(const std::string& id, const std::string& source,
                           std::vector<std::string> after = {}) {
  Settings settings;
  settings.set("source", source);
  return make_step(id, "restore", std::move(settings), std::move(after));
}

}  // namespace salvor::test
