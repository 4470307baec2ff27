// Where a plan works: the real stores, or a sandbox for each. The only difference between a
// recovery and its drill.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/task.h"
#include "engine/store.h"
#include "plan/network_cage.h"

namespace salvor::plan {

enum class Mode : uint8_t { kProduction, kDrill };

[[nodiscard]] std::string_view name_of(Mode mode);  // "production", "drill"

// Thread-safe; one call at a time for one source.
class Site {
 public:
  virtual ~Site() = default;
  [[nodiscard]] virtual Mode mode() const = 0;
  [[nodiscard]] virtual std::vector<std::string> sources() const = 0;
  [[nodiscard]] virtual TextMap outputs(const std::string& source) = 0;
  [[nodiscard]] virtual std::vector<RecoveryRange> ranges(const Context& context,
                                                          const std::string& source) = 0;
  [[nodiscard]] virtual std::vector<ProbeResult> probe(const Context& context,
                                                       const std::string& source) = 0;
  [[nodiscard]] virtual std::string would_destroy(const Context& context, const std::string& source,
                                                  const RestoreOrder& order) = 0;
  // What keeps a restore from beginning as things are now; empty: nothing.
  [[nodiscard]] virtual std::string in_the_way(const Context& /*context*/,
                                               const std::string& /*source*/,
                                               const RestoreOrder& /*order*/) {
    return {};
  }
  [[nodiscard]] virtual RestoreOutcome restore(const Context& context, const std::string& source,
                                               const RestoreOrder& order) = 0;
  virtual void put_back(const Context& context, const std::string& source,
                        const RestoreOutcome& outcome, const RestoreOrder& order) = 0;
  virtual void discard_old(const Context& context, const std::string& source,
                           const RestoreOutcome& outcome) = 0;
  [[nodiscard]] virtual std::vector<CheckResult> check(const Context& context,
                                                       const std::string& source) = 0;
  // Where commands are to be cut off from the network; null: nowhere.
  [[nodiscard]] virtual const NetworkCage* cage() const { return nullptr; }
};

// The value of "${target.<rest>}", `rest` being "output" (of the only source that has it) or
// "source.output". Throws Error{kUsage} that names what there is.
[[nodiscard]] std::string target_value(Site& site, std::string_view rest);

class ProductionSite final : public Site {
 public:
  ProductionSite(Stores& stores, std::vector<std::string> sources);
  [[nodiscard]] Mode mode() const override { return Mode::kProduction; }
  [[nodiscard]] std::vector<std::string> sources() const override { return sources_; }
  [[nodiscard]] TextMap outputs(const std::string& source) override;
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context& context,
                                                  const std::string& source) override;
  [[nodiscard]] std::vector<ProbeResult> probe(const Context& context,
                                               const std::string& source) override;
  [[nodiscard]] std::string would_destroy(const Context& context, const std::string& source,
                                          const RestoreOrder& order) override;
  [[nodiscard]] std::string in_the_way(const Context& context, const std::string& source,
                                       const RestoreOrder& order) override;
  [[nodiscard]] RestoreOutcome restore(const Context& context, const std::string& source,
                                       const RestoreOrder& order) override;
  void put_back(const Context& context, const std::string& source, const RestoreOutcome& outcome,
                const RestoreOrder& order) override;
  void discard_old(const Context& context, const std::string& source,
                   const RestoreOutcome& outcome) override;
  [[nodiscard]] std::vector<CheckResult> check(const Context& context,
                                               const std::string& source) override;

 private:
  Stores& stores_;
  std::vector<std::string> sources_;
};

// Sandboxes are given, opened; they go with the site.
class SandboxSite final : public Site {
 public:
  explicit SandboxSite(Stores& stores) : stores_(stores) {}
  void add(const std::string& source, std::unique_ptr<SandboxedStore> sandbox);
  [[nodiscard]] SandboxedStore& sandbox(const std::string& source);
  // From now on commands run in a network of their own.
  void cut_off() { cage_ = std::make_unique<NetworkCage>(); }
  [[nodiscard]] const NetworkCage* cage() const override { return cage_.get(); }
  // Ends all sandboxes. Never throws.
  void clear() { sandboxes_.clear(); }

  [[nodiscard]] Mode mode() const override { return Mode::kDrill; }
  [[nodiscard]] std::vector<std::string> sources() const override;
  [[nodiscard]] TextMap outputs(const std::string& source) override;
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context& context,
                                                  const std::string& source) override;
  [[nodiscard]] std::vector<ProbeResult> probe(const Context& context,
                                               const std::string& source) override;
  [[nodiscard]] std::string would_destroy(const Context& context, const std::string& source,
                                          const RestoreOrder& order) override;
  [[nodiscard]] RestoreOutcome restore(const Context& context, const std::string& source,
                                       const RestoreOrder& order) override;
  void put_back(const Context& context, const std::string& source, const RestoreOutcome& outcome,
                const RestoreOrder& order) override;
  void discard_old(const Context& context, const std::string& source,
                   const RestoreOutcome& outcome) override;
  [[nodiscard]] std::vector<CheckResult> check(const Context& context,
                                               const std::string& source) override;

 private:
  Stores& stores_;
  // Restores run on threads that live as long as the sandboxes: a server that a sandbox starts ends
  // with the thread that started it (PR_SET_PDEATHSIG), and a step's thread ends with the step.
  ThreadPool starters_{"sandbox", 8};
  std::map<std::string, std::unique_ptr<SandboxedStore>> sandboxes_;
  std::unique_ptr<NetworkCage> cage_;
};

}  // namespace salvor::plan
