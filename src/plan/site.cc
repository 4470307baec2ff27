#include "plan/site.h"

#include <future>

#include "base/error.h"
#include "base/format.h"

namespace salvor::plan {
namespace {

const std::string* value_of(const TextMap& map, std::string_view name) {
  for (const auto& [key, value] : map) {
    if (key == name) {
      return &value;
    }
  }
  return nullptr;
}

std::string names_in(const TextMap& map) {
  std::string names;
  for (const auto& [key, value] : map) {
    names += (names.empty() ? "" : ", ") + key;
  }
  return names.empty() ? "nothing" : names;
}

}  // namespace

std::string_view name_of(Mode mode) {
  return mode == Mode::kDrill ? "drill" : "production";
}

std::string target_value(Site& site, std::string_view rest) {
  const std::string shown = "${target." + printable(rest) + "}";
  std::string offered;
  std::optional<std::string> found;
  bool several = false;
  for (const std::string& source : site.sources()) {
    const TextMap outputs = site.outputs(source);
    offered += (offered.empty() ? "" : "; ") + source + ": " + names_in(outputs);
    if (rest.starts_with(source + ".")) {
      if (const auto* value = value_of(outputs, rest.substr(source.size() + 1))) {
        return *value;
      }
    }
    if (const auto* value = value_of(outputs, rest)) {
      several = several || found.has_value();
      found = *value;
    }
  }
  if (several) {
    throw Error(ErrorCode::kUsage, "more than one source offers " + shown,
                "Name the source: ${target.SOURCE." + printable(rest) + "}.");
  }
  if (!found) {
    throw Error(ErrorCode::kUsage, "the target does not offer " + shown,
                "It offers " + (offered.empty() ? "nothing" : offered) + ".");
  }
  return *found;
}

ProductionSite::ProductionSite(Stores& stores, std::vector<std::string> sources)
    : stores_(stores), sources_(std::move(sources)) {}

TextMap ProductionSite::outputs(const std::string& source) {
  return stores_.open(source)->outputs();
}
std::vector<RecoveryRange> ProductionSite::ranges(const Context& context,
                                                  const std::string& source) {
  return stores_.open(source)->ranges(context);
}
std::vector<ProbeResult> ProductionSite::probe(const Context& context, const std::string& source) {
  return stores_.open(source)->probe(context);
}
std::string ProductionSite::would_destroy(const Context& context, const std::string& source,
                                          const RestoreOrder& order) {
  return stores_.open(source)->would_destroy(context, order);
}
std::string ProductionSite::in_the_way(const Context& context, const std::string& source,
                                       const RestoreOrder& order) {
  return stores_.open(source)->in_the_way(context, order);
}
RestoreOutcome ProductionSite::restore(const Context& context, const std::string& source,
                                       const RestoreOrder& order) {
  return stores_.open(source)->restore(context, order);
}
void ProductionSite::put_back(const Context& context, const std::string& source,
                              const RestoreOutcome& outcome, const RestoreOrder& order) {
  stores_.open(source)->put_back(context, outcome, order);
}
void ProductionSite::discard_old(const Context& context, const std::string& source,
                                 const RestoreOutcome& outcome) {
  stores_.open(source)->discard_old(context, outcome);
}
std::vector<CheckResult> ProductionSite::check(const Context& context, const std::string& source) {
  return stores_.open(source)->check(context);
}

void SandboxSite::add(const std::string& source, std::unique_ptr<SandboxedStore> sandbox) {
  sandboxes_[source] = std::move(sandbox);
}

SandboxedStore& SandboxSite::sandbox(const std::string& source) {
  const auto it = sandboxes_.find(source);
  if (it == sandboxes_.end()) {
    throw Error(ErrorCode::kUsage, "there is no sandbox for source " + printable(source));
  }
  return *it->second;
}

std::vector<std::string> SandboxSite::sources() const {
  std::vector<std::string> names;
  for (const auto& [name, sandbox] : sandboxes_) {
    names.push_back(name);
  }
  return names;
}

TextMap SandboxSite::outputs(const std::string& source) {
  return sandbox(source).outputs();
}
std::vector<RecoveryRange> SandboxSite::ranges(const Context& context, const std::string& source) {
  return stores_.open(source)->ranges(context);
}
// What the real store needs to be backed up is no condition of its drill.
std::vector<ProbeResult> SandboxSite::probe(const Context&, const std::string&) {
  return {};
}
std::string SandboxSite::would_destroy(const Context&, const std::string&, const RestoreOrder&) {
  return {};
}
RestoreOutcome SandboxSite::restore(const Context& context, const std::string& source,
                                    const RestoreOrder& order) {
  RestoreOrder here = order;
  here.target = {};  // the real one's
  // Shared: who sets the value may still hold it when we have the value.
  const auto done = std::make_shared<std::promise<RestoreOutcome>>();
  auto outcome = done->get_future();
  SandboxedStore& store = sandbox(source);
  starters_.post([&context, &store, done, here] {
    try {
      done->set_value(store.recover(context, here));
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  return outcome.get();
}
void SandboxSite::put_back(const Context&, const std::string&, const RestoreOutcome&,
                           const RestoreOrder&) {}
void SandboxSite::discard_old(const Context&, const std::string&, const RestoreOutcome&) {}
std::vector<CheckResult> SandboxSite::check(const Context& context, const std::string& source) {
  return sandbox(source).check(context);
}

}  // namespace salvor::plan
