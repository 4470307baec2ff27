#include "config/configuration.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/fd.h"
#include "config/application_reader.h"
#include "config/checker.h"
#include "config/defaults.h"
#include "config/rules.h"
#include "config/yaml_printer.h"

namespace salvor::config {
namespace {

constexpr uint64_t kFileLimit = (uint64_t{1} << 20) + 16;

class Loader {
 public:
  explicit Loader(const ConfigurationRequest& request)
      : request_(request),
        schema_(request.steps),
        sources_(std::make_shared<SourceTexts>()),
        context_{*sources_,
                 problems_,
                 std::filesystem::absolute(request.file).lexically_normal().parent_path().string(),
                 request.home,
                 request.environment,
                 [this](const std::string& name) { return variable(name); }} {}

  Configuration load(const std::string* text) {
    add_file(request_.file, text != nullptr ? *text : read(request_.file));
    add_inner_environment();
    const std::string beside = environment_file(request_.file, request_.environment);
    if (text == nullptr && !request_.environment.empty() && std::filesystem::exists(beside)) {
      add_file(beside, read(beside));
      known_environment_ = true;
    }
    if (!request_.environment.empty() && !known_environment_) {
      unknown_environment(beside);
    }
    add_overrides();
    fill_in(tree_, schema_,
            {.sources = *sources_,
             .problems = problems_,
             .variable = context_.variable,
             .has_password =
                 [this](const std::string& name) { return request_.passwords_set.contains(name); },
             .state_root = request_.state_root,
             .environment = request_.environment});
    fill_in_services();
    const Checked checked = check_whole(tree_, schema_, context_);
    Configuration result;
    result.application = read_application(checked);
    finish(result.application);
    check_rules({.application = result.application,
                 .checked = checked,
                 .tree = tree_,
                 .sources = *sources_,
                 .problems = problems_,
                 .now = request_.now});
    stop_at_problems();
    result.warnings = problems_.sorted();
    result.tree = std::move(tree_);
    result.sources = sources_;
    result.files = files_;
    return result;
  }

 private:
  [[nodiscard]] std::optional<std::string> variable(const std::string& name) const {
    const auto found = request_.variables.find(name);
    return found == request_.variables.end() || found->second.empty()
               ? std::nullopt
               : std::optional(found->second);
  }

  static std::string read(const std::string& file) {
    const Buffer content = read_file(file, kFileLimit);
    return std::string(as_text(content.view()));
  }

  void add_file(const std::string& name, const std::string& bytes) {
    PreparedText prepared = prepare_text(bytes);
    const uint32_t source =
        sources_->add({.kind = SourceText::kFile, .name = name, .text = std::move(prepared.text)});
    files_.push_back(name);
    if (!prepared.problem.empty()) {
      prepared.place.source = source;
      problems_.add(prepared.place, prepared.problem, prepared.hint);
      stop_at_problems();
    }
    YamlNode layer = read_yaml(source, *sources_, problems_);
    if (!layer.is_map()) {
      stop_at_problems();  // not YAML: nothing more can be said
    }
    if (const YamlEntry* inner = layer.entry("environments");
        inner != nullptr && files_.size() > 1) {
      problems_.add(inner->place, "the file of an environment has no environments of its own",
                    fmt::format("Move them to {}.", request_.file));
      layer.remove("environments");
    }
    add_layer(std::move(layer));
  }

  void add_layer(YamlNode layer) {
    if (!layer.is_map()) {
      if (!tree_.is_map()) {
        tree_.place = layer.place;
      }
      return;
    }
    std::erase_if(layer.entries, [](const YamlEntry& entry) {
      return entry.key.starts_with("x-");  // a place for anchors
    });
    write_out(layer, schema_.root());
    check_layer(layer, schema_, context_);
    if (!tree_.is_map()) {
      tree_ = std::move(layer);
    } else {
      merge(tree_, std::move(layer), &schema_.root());
    }
  }

  // Each is checked, also those that are not chosen.
  void add_inner_environment() {
    YamlEntry* entry = tree_.entry("environments");
    if (entry == nullptr) {
      return;
    }
    YamlNode all = std::move(entry->value);
    tree_.remove("environments");
    if (!all.is_map() && !all.is_null()) {
      problems_.add(all.place, "\"environments\" must be a mapping of names",
                    "Write the environment's name, and below it what differs there.");
    }
    for (YamlEntry& environment : all.entries) {
      environments_.push_back(environment.key);
      if (!environment.quoted && yaml_reading(environment.key) != YamlReading::kText) {
        problems_.add(environment.place,
                      fmt::format("the name {} is not a text to YAML", shown(environment.key)),
                      fmt::format("Write it in quotes: \"{}\":", environment.key));
      }
      const bool chosen = environment.key == request_.environment;
      known_environment_ = known_environment_ || chosen;
      if (const YamlEntry* inner = environment.value.entry("environments")) {
        problems_.add(inner->place, "an environment has no environments of its own",
                      "Move it one level out.");
        environment.value.remove("environments");
      }
      if (environment.value.is_scalar() || environment.value.is_list()) {
        problems_.add(environment.value.place,
                      fmt::format("the environment {} must be a mapping", shown(environment.key)),
                      "Below it stands what differs there.");
      } else if (chosen) {
        add_layer(std::move(environment.value));
      } else if (environment.value.is_map()) {
        // Its addresses belong to another environment's variables.
        write_out(environment.value, schema_.root());
        LeafContext other = context_;
        other.environment = environment.key;
        other.variable = [](const std::string& name) { return std::optional("${" + name + "}"); };
        check_layer(environment.value, schema_, other);
      }
    }
  }

  void unknown_environment(const std::string& beside) {
    const Place place{.source = sources_->add({.kind = SourceText::kFlag,
                                               .name = "environment " + request_.environment,
                                               .text = {}})};
    problems_.add(place, fmt::format("{} says nothing about this environment", request_.file), [&] {
      std::string hint = did_you_mean(request_.environment, environments_);
      return hint + (hint.empty() ? "" : " ") +
             fmt::format("Add it below \"environments:\", or write {}.", beside);
    }());
  }

  void add_overrides() {
    const OverrideRequest request{.variables = request_.variables,
                                  .not_ours = request_.not_ours,
                                  .settings = request_.settings};
    add_layer(variable_layer(request, tree_, schema_, *sources_, problems_));
    add_layer(setting_layer(request, schema_, *sources_, problems_));
  }

  // "${services.api}" in plans.
  void fill_in_services() {
    YamlNode* plans = tree_.find("plans");
    const YamlNode* services = tree_.find("services");
    if (plans != nullptr) {
      replace_services(*plans, services);
    }
  }

  void replace_services(YamlNode& node, const YamlNode* services) {
    static constexpr std::string_view kOpen = "${services.";
    for (size_t at = node.text.find(kOpen); at != std::string::npos;
         at = node.text.find(kOpen, at)) {
      const size_t close = node.text.find('}', at);
      if (close == std::string::npos) {
        break;
      }
      const std::string name = node.text.substr(at + kOpen.size(), close - at - kOpen.size());
      const YamlNode* service = services == nullptr ? nullptr : services->find(name);
      if (service == nullptr || !service->is_scalar()) {
        std::vector<std::string> known;
        for (const YamlEntry& entry :
             services == nullptr ? std::vector<YamlEntry>() : services->entries) {
          known.push_back(entry.key);
        }
        problems_.add(
            node.place, fmt::format("there is no service {}", shown(name)),
            known.empty() ? "Give its address below \"services:\"." : did_you_mean(name, known));
        at = close;
        continue;
      }
      Problems elsewhere;  // the service's own problems are reported where it stands
      const LeafContext context{
          *sources_,        elsewhere, context_.folder, context_.home, context_.environment,
          context_.variable};
      const std::string address = interpolate(*service, context).value_or(service->text);
      node.text.replace(at, close - at + 1, address);
      at += address.size();
    }
    for (YamlNode& item : node.items) {
      replace_services(item, services);
    }
    for (YamlEntry& entry : node.entries) {
      replace_services(entry.value, services);
    }
  }

  [[nodiscard]] const YamlNode* location_of(const std::string& repository) const {
    const YamlNode* all = tree_.find("repositories");
    const YamlNode* one = all == nullptr ? nullptr : all->find(repository);
    return one == nullptr ? nullptr : one->find("location");
  }

  void finish(Application& application) {
    application.environment = request_.environment;
    application.file = std::filesystem::absolute(request_.file).lexically_normal().string();
    for (RepositorySpec& repository : application.repositories) {
      if (const YamlNode* written = location_of(repository.name)) {
        static_cast<void>(home_is_known(
            *written, place_of(repository.location),
            fmt::format("the location of repository {}", shown(repository.name)), context_));
      }
      repository.location = absolute_location(repository.location, context_.folder, context_.home);
    }
    const YamlNode* plans = tree_.find("plans");
    for (PlanSpec& plan : application.plans) {
      if (const YamlNode* written = plans == nullptr ? nullptr : plans->find(plan.name)) {
        plan.source_text = write_yaml(*written);
      }
    }
  }

  void stop_at_problems() {
    const size_t count = problems_.errors();
    if (count == 0) {
      return;
    }
    throw ConfigurationError(
        fmt::format("the configuration {} has {}", request_.file,
                    count == 1 ? "a mistake" : fmt::format("{} mistakes", count)),
        "Nothing was done. Correct what is shown and run the command again.", problems_.sorted(),
        sources_);
  }

  const ConfigurationRequest& request_;
  const Schema schema_;
  std::shared_ptr<SourceTexts> sources_;
  Problems problems_;
  LeafContext context_;
  YamlNode tree_;
  std::vector<std::string> files_;
  std::vector<std::string> environments_;
  bool known_environment_ = false;
};

}  // namespace

std::string ConfigurationError::report() const {
  std::string text;
  for (const Problem& problem : problems_) {
    text += render(problem, *sources_);
  }
  return text;
}

std::string environment_file(const std::string& file, const std::string& environment) {
  const std::filesystem::path path(file);
  return (path.parent_path() /
          (path.stem().string() + "." + environment + path.extension().string()))
      .string();
}

Configuration load_configuration(const ConfigurationRequest& request) {
  return Loader(request).load(nullptr);
}

Configuration load_configuration_text(const ConfigurationRequest& request,
                                      const std::string& text) {
  return Loader(request).load(&text);
}

}  // namespace salvor::config
