#include "cli/command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/format.h"

namespace salvor::cli {

const std::vector<ExitCodeNote> kRepositoryExitCodes = {
    {0, "success"},
    {1, "an error without a more precise code"},
    {10, "the repository does not exist"},
    {11, "the repository is locked by somebody else"},
    {12, "the password is wrong"},
    {20, "stored data is damaged"},
    {64, "wrong usage"},
    {130, "interrupted"},
};

std::vector<ExitCodeNote> with_exit_codes(std::vector<ExitCodeNote> base,
                                          const std::vector<ExitCodeNote>& more) {
  for (const ExitCodeNote& note : more) {
    const auto same = std::find_if(base.begin(), base.end(),
                                   [&](const ExitCodeNote& n) { return n.code == note.code; });
    if (same != base.end()) {
      same->meaning = note.meaning;
    } else {
      base.push_back(note);
    }
  }
  std::sort(base.begin(), base.end(),
            [](const ExitCodeNote& a, const ExitCodeNote& b) { return a.code < b.code; });
  return base;
}

void add_options(std::vector<OptionSpec>& options, std::vector<OptionSpec> more) {
  std::move(more.begin(), more.end(), std::back_inserter(options));
}

bool takes_value(const OptionSpec& option) {
  return !std::holds_alternative<bool*>(option.target) &&
         !std::holds_alternative<Counter*>(option.target);
}

bool is_repeatable(const OptionSpec& option) {
  return std::holds_alternative<std::vector<std::string>*>(option.target) ||
         std::holds_alternative<Counter*>(option.target);
}

std::vector<std::string> environment_names(const OptionSpec& option) {
  if (option.environment.empty()) {
    return {};
  }
  return {"SALVOR_" + option.environment, "RESTIC_" + option.environment};
}

const CommandSpec* find_command(const CommandSpec& group, std::string_view name) {
  for (const CommandSpec& command : group.commands) {
    if (command.name == name ||
        std::find(command.aliases.begin(), command.aliases.end(), name) != command.aliases.end()) {
      return &command;
    }
  }
  return nullptr;
}

std::optional<Duration> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 7> kUnits{
      {{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}}};
  if (text == "0") {
    return Duration(0);
  }
  double total = 0;
  bool any = false;
  while (!text.empty()) {
    if (text[0] == '-' || text[0] == '+') {
      return std::nullopt;
    }
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !std::isfinite(number)) {
      return std::nullopt;
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const size_t length = std::min(text.find_first_of("0123456789."), text.size());
    const std::string_view suffix = text.substr(0, length);
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                    [&](const auto& entry) { return entry.first == suffix; });
    if (unit == kUnits.end()) {
      return std::nullopt;
    }
    total += number * unit->second;
    any = true;
    text.remove_prefix(length);
  }
  if (!any || total >= 9.2e18) {
    return std::nullopt;
  }
  return Duration(static_cast<int64_t>(total));
}

namespace {

[[noreturn]] void refuse(const OptionSpec& option, std::string_view value,
                         std::string_view wanted) {
  throw Error(ErrorCode::kUsage, "invalid value \"" + printable(value) + "\" for --" +
                                     option.long_name + ": expected " + std::string(wanted));
}

uint64_t number_of(const OptionSpec& option, std::string_view value) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc() || end != value.data() + value.size()) {
    refuse(option, value, "a whole number");
  }
  return number;
}

Size size_of(const OptionSpec& option, std::string_view value) {
  const auto bytes = parse_bytes(value);
  if (!bytes) {
    refuse(option, value, "a size such as 512k, 16M or 1.5G");
  }
  return {*bytes};
}

Duration duration_of(const OptionSpec& option, std::string_view value) {
  const auto duration = parse_duration(value);
  if (!duration) {
    refuse(option, value, "a duration such as 30s, 5m or 1h30m");
  }
  return *duration;
}

bool truth_of(const OptionSpec& option, std::string_view value) {
  if (value == "true" || value == "1" || value == "t" || value == "T" || value == "TRUE" ||
      value == "True") {
    return true;
  }
  if (value == "false" || value == "0" || value == "f" || value == "F" || value == "FALSE" ||
      value == "False") {
    return false;
  }
  refuse(option, value, "true or false");
}

std::string text_of(const OptionSpec& option, std::string_view value) {
  const auto& choices = option.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) {
    std::string wanted = "one of ";
    for (const std::string& choice : choices) {
      wanted += (&choice == &choices.front() ? "" : ", ") + choice;
    }
    refuse(option, value, wanted);
  }
  return std::string(value);
}

struct Assigner {
  const OptionSpec& option;
  std::string_view value;

  void operator()(bool* target) const { *target = truth_of(option, value); }
  void operator()(Counter* target) const {
    target->value = static_cast<int>(std::min<uint64_t>(number_of(option, value), 1000));
  }
  void operator()(std::string* target) const { *target = text_of(option, value); }
  void operator()(std::optional<std::string>* target) const { *target = text_of(option, value); }
  void operator()(std::vector<std::string>* target) const {
    target->push_back(text_of(option, value));
  }
  void operator()(uint64_t* target) const { *target = number_of(option, value); }
  void operator()(std::optional<uint64_t>* target) const { *target = number_of(option, value); }
  void operator()(Size* target) const { *target = size_of(option, value); }
  void operator()(std::optional<Size>* target) const { *target = size_of(option, value); }
  void operator()(Duration* target) const { *target = duration_of(option, value); }
  void operator()(std::optional<Duration>* target) const { *target = duration_of(option, value); }
};

}  // namespace

void assign(const OptionSpec& option, std::string_view value) {
  std::visit(Assigner{option, value}, option.target);
}

}  // namespace salvor::cli
