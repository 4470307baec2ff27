#include "config/leaf.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <regex>

#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "base/suggest.h"
#include "config/usual_mistakes.h"
#include "engine/store.h"
#include "model/schedule.h"

namespace salvor::config {
namespace {

using std::chrono::seconds;

bool all_of(std::string_view text, bool (*test)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view without_sign(std::string_view text) {
  return text.starts_with('-') || text.starts_with('+') ? text.substr(1) : text;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !all_of(text, is_digit)) {
    return {};
  }
  return value;
}

// "${target.url}" and nothing else.
bool is_placeholder(std::string_view text) {
  return text.starts_with("${") && text.find('}') == text.size() - 1;
}

std::string type_phrase(const FieldSpec& field) {
  switch (field.type) {
    case FieldType::kText:
    case FieldType::kMoment:
      return "a text";
    case FieldType::kFlag:
      return "true or false";
    case FieldType::kNumber:
      return "a number";
    case FieldType::kDuration:
      return "a duration such as 15m";
    case FieldType::kSize:
      return "a size such as 16M";
    case FieldType::kSchedule:
      return "a schedule such as daily 02:00";
    case FieldType::kPath:
      return "a path";
    case FieldType::kUrl:
      return "an address";
    case FieldType::kSecret:
      return "a reference to a secret";
    case FieldType::kTextList:
      return "a text or a list of texts";
    case FieldType::kPathList:
      return "a path or a list of paths";
    case FieldType::kTextMap:
    case FieldType::kSecretMap:
      return "names with texts";
  }
  return "a text";
}

std::string found_phrase(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
    case YamlNode::Kind::kScalar:
      return "a text";
  }
  return "";
}

// Reads one leaf: the members share what every message needs.
class LeafReader {
 public:
  LeafReader(const KeySchema& key, const std::string& where, const LeafContext& context)
      : field_(key.field),
        rule_(key.rule),
        in_plan_(key.in_plan),
        where_(where),
        context_(context) {}

  std::optional<Settings::Value> read(const YamlNode& node) {
    switch (field_.type) {
      case FieldType::kTextList:
      case FieldType::kPathList:
        return read_list(node);
      case FieldType::kTextMap:
      case FieldType::kSecretMap:
        return read_map(node);
      default:
        break;
    }
    if (!node.is_scalar()) {
      wrong_kind(node);
      return {};
    }
    auto value = read_scalar(node);
    return value ? std::optional<Settings::Value>(std::move(*value)) : std::nullopt;
  }

 private:
  void wrong_kind(const YamlNode& node) {
    if (field_.type == FieldType::kSecret && !node.is_null()) {
      hide(node);
    }
    const std::string hint = example();
    if (node.is_null()) {
      if (node.text.empty()) {
        problem(node, fmt::format("{} has no value", name()),
                "Give it one, or leave the line out." + (hint.empty() ? "" : " " + hint));
      } else {
        problem(node, fmt::format("{} is {}, which means \"nothing\" in YAML", name(), node.text),
                "Write it in quotes if it is meant as a text, or leave the line out.");
      }
      return;
    }
    problem(
        node,
        fmt::format("{} must be {}, but is {}", name(), type_phrase(field_), found_phrase(node)),
        hint);
  }

  [[nodiscard]] std::string name() const { return shown(field_.name) + where_; }
  [[nodiscard]] std::string example() const {
    return field_.example.empty() ? ""
                                  : fmt::format("For example: {}: {}", field_.name, field_.example);
  }
  void problem(const YamlNode& node, std::string what, std::string hint) {
    context_.problems.add(node.place, std::move(what), std::move(hint));
  }
  // What may be a secret must not be shown with the line.
  void hide(const YamlNode& node) {
    Place last = node.place;
    const std::function<void(const YamlNode&)> walk = [&](const YamlNode& one) {
      last.line = std::max(
          last.line, one.place.line +
                         static_cast<uint32_t>(std::count(one.text.begin(), one.text.end(), '\n')));
      std::for_each(one.items.begin(), one.items.end(), walk);
      for (const YamlEntry& entry : one.entries) {
        walk(entry.value);
      }
    };
    walk(node);
    context_.sources.hide(node.place, last.line);
  }
  // From a variable or flag everything is a plain text.
  [[nodiscard]] bool written_in_yaml(const YamlNode& node) const {
    return context_.sources.at(node.place.source).kind == SourceText::kFile;
  }

  std::optional<std::string> read_scalar(const YamlNode& node) {
    if (field_.type == FieldType::kSecret) {
      return read_secret(node);
    }
    if (has_url_password(node.text)) {
      hide(node);
      problem(node, fmt::format("a password stands in the address of {}", name()),
              "Passwords are given by reference only, so that this file holds no secret: take it "
              "out of the address, and give it where the service expects it (a key of type "
              "secret, or the environment).");
      return {};
    }
    switch (field_.type) {
      case FieldType::kFlag:
        return read_flag(node);
      case FieldType::kNumber:
        return read_number(node);
      case FieldType::kDuration:
        return read_duration(node);
      case FieldType::kSize:
        return read_size(node);
      case FieldType::kSchedule:
        return read_schedule(node);
      case FieldType::kPath:
        return read_path(node);
      case FieldType::kUrl:
        return read_url(node);
      default:
        return read_text(node);
    }
  }

  std::optional<std::string> read_secret(const YamlNode& node) {
    std::optional<SecretReference> reference = SecretReference::parse(node.text);
    if (in_plan_ && is_placeholder(node.text)) {
      return node.text;
    }
    const std::string meant = reference_meant(node.text);
    if (reference && (meant.empty() || meant == node.text)) {
      if (reference->kind == SecretReference::kFile) {
        if (!home_is_known(node, reference->name, name(), context_)) {
          return {};
        }
        reference->name = absolute(reference->name);
      }
      return reference->text();
    }
    hide(node);
    const bool bare = all_of(node.text, [](char c) { return std::isupper(c) != 0 || c == '_'; });
    problem(node, fmt::format("{} is not a reference to a secret", name()),
            bare ? fmt::format("Did you mean env:{}?", node.text)
            : !meant.empty()
                ? fmt::format("Did you mean {}?", meant)
                : "Secrets never stand in this file. Say where it is: env:NAME, file:PATH, "
                  "cmd:COMMAND or credential:NAME (systemd).");
    return {};
  }

  // True when a text without quotes is something else to YAML: a problem was added.
  bool trapped(const YamlNode& node, bool flags_are_fine) {
    if (node.quoted || !written_in_yaml(node)) {
      return false;
    }
    const auto say = [&](std::string_view what) {
      problem(node,
              fmt::format("{} is {} without quotes, which YAML reads as {}", name(),
                          shown(node.text), what),
              fmt::format("Write it in quotes: {}: \"{}\"", field_.name, printable(node.text)));
      return true;
    };
    switch (yaml_reading(node.text)) {
      case YamlReading::kText:
        return false;
      case YamlReading::kFlag:
        return flags_are_fine && (node.text == "true" || node.text == "false")
                   ? false
                   : say("true or false");
      case YamlReading::kNull:
        return say("nothing");
      case YamlReading::kInteger:
        return false;  // the same in every notation
      case YamlReading::kOctal:
        return say("a number, octal or not: readers differ");
      case YamlReading::kSexagesimal:
        return say("a number to the base of 60");
      case YamlReading::kFloat:
        return say("a fraction (1.10 becomes 1.1)");
    }
    return false;
  }

  std::optional<std::string> read_text(const YamlNode& node, bool flags_are_fine = false) {
    if (!field_.choices.empty()) {
      return read_choice(node);
    }
    if (trapped(node, flags_are_fine)) {
      return {};
    }
    if (node.text.empty()) {
      problem(node, fmt::format("{} is empty", name()), example());
      return {};
    }
    if (node.text.find('\0') != std::string::npos) {
      problem(node, fmt::format("{} holds a zero byte", name()), "");
      return {};
    }
    if (field_.type == FieldType::kMoment && node.text.find("${") == std::string::npos) {
      return checked(node, [&] { (void)Moment::parse(node.text); });
    }
    if (rule_ == Rule::kZone) {
      return checked(node, [&] { (void)TimeZone::named(node.text); });
    }
    if (rule_ == Rule::kWindow && !parse_window(node.text)) {
      problem(node,
              fmt::format("{} is {}, which is not a time of the day", name(), shown(node.text)),
              "Write two times, for example 22:00-06:00.");
      return {};
    }
    return node.text;
  }

  std::optional<std::string> read_choice(const YamlNode& node) {
    if (std::find(field_.choices.begin(), field_.choices.end(), node.text) !=
        field_.choices.end()) {
      return node.text;
    }
    std::string hint = did_you_mean(node.text, field_.choices);
    problem(node, fmt::format("{} cannot be {}", name(), shown(node.text)),
            hint.empty() ? "Possible are " + enumerate(field_.choices) + "." : hint);
    return {};
  }

  // Runs what throws Error{kUsage} with a hint for what is not one.
  template <class Check>
  std::optional<std::string> checked(const YamlNode& node, Check check,
                                     const std::string& first_hint = {}) {
    try {
      check();
      return node.text;
    } catch (const Error& error) {
      const bool of_zone = error.message().starts_with("unknown time zone");
      std::string hint = of_zone ? "" : first_hint;
      if (of_zone) {
        const std::string_view word = std::string_view(node.text).substr(node.text.rfind(' ') + 1);
        const std::string zone = zone_meant(word);
        hint = zone.empty() ? "" : "Did you mean " + zone + "?";
      }
      hint += hint.empty() || error.hint().empty() || of_zone ? "" : " ";
      problem(node, fmt::format("{}: {}", name(), error.message()),
              of_zone && !hint.empty() ? hint : hint + error.hint());
      return {};
    }
  }

  std::optional<std::string> read_flag(const YamlNode& node) {
    if ((node.text == "true" || node.text == "false") && !node.quoted) {
      return node.text;
    }
    std::string word = node.text;
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool yes = word == "yes" || word == "on" || word == "true" || word == "y" || word == "1";
    const bool no = word == "no" || word == "off" || word == "false" || word == "n" || word == "0";
    problem(node, fmt::format("{} must be true or false, but is {}", name(), shown(node.text)),
            !yes && !no ? ""
                        : fmt::format("Write {}: {}", field_.name, yes ? "true" : "false") +
                              (node.quoted ? ", without quotes." : "."));
    return {};
  }

  std::optional<std::string> read_number(const YamlNode& node) {
    const bool octal = node.text.size() > 1 && node.text[0] == '0';
    const std::optional<uint64_t> value = parse_number(node.text);
    if (value && !octal && !node.quoted && *value <= 1'000'000'000) {
      return node.text;
    }
    std::string hint;
    if (value && octal && *value <= 1'000'000'000) {
      hint =
          fmt::format("Some readers of YAML take this as octal. Write {}: {}", field_.name, *value);
    } else if (value && node.quoted && !octal) {
      hint = "Write it without quotes.";
    } else if (value) {
      hint = "It is too large.";
    } else if (yaml_reading(node.text) != YamlReading::kText) {
      hint = "Write a decimal number, not negative, without fraction or exponent.";
    } else {
      hint = example();
    }
    problem(node, fmt::format("{} must be a number, but is {}", name(), shown(node.text)), hint);
    return {};
  }

  std::optional<std::string> read_duration(const YamlNode& node) {
    if (const auto period = parse_period(node.text)) {
      return std::to_string(period->count());
    }
    std::string hint = "Units are s, m, h, d and w, for example 15m or 1h30m.";
    if (yaml_reading(node.text) == YamlReading::kSexagesimal) {
      hint = "YAML reads this as a number to the base of 60. " + hint;
    } else if (const auto number = parse_number(node.text)) {
      hint = fmt::format("Say of what: {0}s, {0}m, {0}h or {0}d.", *number);
    } else if (const std::string meant = duration_meant(node.text); !meant.empty()) {
      hint = fmt::format("Did you mean {}? {}", meant, hint);
    }
    problem(node, fmt::format("{} must be a duration, but is {}", name(), shown(node.text)), hint);
    return {};
  }

  std::optional<std::string> read_size(const YamlNode& node) {
    const bool octal = node.text.size() > 1 && node.text[0] == '0' && is_digit(node.text[1]);
    if (const auto bytes = parse_bytes(node.text); bytes && !octal) {
      return std::to_string(*bytes);
    }
    const std::string meant = size_meant(node.text);
    problem(node, fmt::format("{} must be a size, but is {}", name(), shown(node.text)),
            (meant.empty() ? "" : "Did you mean " + meant + "? ") +
                "For example 512k, 16M or 1.5G; a number alone is bytes.");
    return {};
  }

  std::optional<std::string> read_schedule(const YamlNode& node) {
    if (rule_ == Rule::kManualSchedule && node.text == "manual") {
      return node.text;
    }
    if (yaml_reading(node.text) == YamlReading::kSexagesimal) {
      problem(node, fmt::format("{} is only a time of the day, {}", name(), shown(node.text)),
              fmt::format("Say on which days: {}: daily {}", field_.name, node.text));
      return {};
    }
    return checked(
        node, [&] { (void)Schedule::parse(node.text, TimeZone::utc()); },
        schedule_meant(node.text));
  }

  [[nodiscard]] std::string absolute(const std::string& path) const {
    if (path.starts_with("~/") && !context_.home.empty()) {
      return context_.home + path.substr(1);
    }
    if (path.starts_with('/') || path.empty()) {
      return path;
    }
    return context_.folder + "/" + (path.starts_with("./") ? path.substr(2) : path);
  }

  std::optional<std::string> read_path(const YamlNode& node) {
    auto text = read_text(node);
    if (!text || !home_is_known(node, *text, name(), context_)) {
      return {};
    }
    return absolute(*text);
  }

  std::optional<std::string> read_url(const YamlNode& node) {
    // In plans "${...}" is filled in when the plan runs.
    if (node.text.find("://") == std::string::npos && !node.text.starts_with("${")) {
      problem(node, fmt::format("{} must be an address, but is {}", name(), shown(node.text)),
              "For example https://shop.example.org/health");
      return {};
    }
    return node.text;
  }

  std::optional<Settings::Value> read_list(const YamlNode& node) {
    const auto one = [&](const YamlNode& item) -> std::optional<std::string> {
      if (!item.is_scalar()) {
        wrong_kind(item);
        return {};
      }
      if (has_url_password(item.text)) {
        return read_scalar(item);
      }
      return field_.type == FieldType::kPathList ? read_path(item) : read_text(item);
    };
    if (node.is_scalar()) {
      if (field_.type == FieldType::kPathList && node.text.find(", /") != std::string::npos) {
        problem(node,
                fmt::format("{} is one path with a comma in it: {}", name(), shown(node.text)),
                fmt::format("Several are written as a list: [{}]", node.text));
        return {};
      }
      auto text = one(node);
      return text ? std::optional<Settings::Value>(std::vector<std::string>{*text}) : std::nullopt;
    }
    if (!node.is_list()) {
      wrong_kind(node);
      return {};
    }
    std::vector<std::string> texts;
    bool good = true;
    for (const YamlNode& item : node.items) {
      if (auto text = one(item)) {
        texts.push_back(std::move(*text));
      } else {
        good = false;
      }
    }
    if (good && texts.empty() && field_.required) {
      problem(node, fmt::format("{} is an empty list", name()), example());
      good = false;
    }
    return good ? std::optional<Settings::Value>(std::move(texts)) : std::nullopt;
  }

  std::optional<Settings::Value> read_map(const YamlNode& node) {
    if (!node.is_map()) {
      wrong_kind(node);
      return {};
    }
    TextMap map;
    bool good = true;
    for (const YamlEntry& entry : node.entries) {
      if (auto text = read_map_value(entry)) {
        map.emplace_back(entry.key, std::move(*text));
      } else {
        good = false;
      }
    }
    return good ? std::optional<Settings::Value>(std::move(map)) : std::nullopt;
  }

  std::optional<std::string> read_map_value(const YamlEntry& entry) {
    const YamlNode& node = entry.value;
    const bool secret = field_.type == FieldType::kSecretMap;
    FieldSpec inner{.name = entry.key, .example = {}};
    const std::string where =
        fmt::format(" in {}{}", shown(field_.name),
                    where_.empty() ? "" : " of " + where_.substr(sizeof(" in ") - 1));
    if (secret && names_secret(entry.key)) {
      inner.type = FieldType::kSecret;
    }
    if (inner.type != FieldType::kSecret && node.is_scalar() && secret &&
        SecretReference::parse(node.text)) {
      return node.text;
    }
    LeafReader reader({.field = inner}, where, context_);
    if (!node.is_scalar()) {
      reader.wrong_kind(node);
      return {};
    }
    if (inner.type == FieldType::kSecret || has_url_password(node.text)) {
      return reader.read_scalar(node);
    }
    if (rule_ == Rule::kAddresses) {
      return interpolate(node, context_);
    }
    return reader.read_text(node, true);
  }

  const FieldSpec field_;
  Rule rule_;
  bool in_plan_;
  const std::string where_;
  const LeafContext& context_;
};

bool any_of_words(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Digits with one point or an exponent: "1.10", "1e3", ".5", ".inf".
bool looks_float(std::string_view text) {
  if (any_of_words(text, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"})) {
    return true;
  }
  size_t digits = 0;
  size_t points = 0;
  size_t i = 0;
  for (; i < text.size() && (is_digit(text[i]) || text[i] == '.'); ++i) {
    (is_digit(text[i]) ? digits : points) += 1;
  }
  if (digits == 0 || points > 1) {
    return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    return all_of(without_sign(text.substr(i + 1)), is_digit);
  }
  return i == text.size() && points == 1;
}

bool looks_sexagesimal(std::string_view text) {
  size_t colons = 0;
  size_t run = 0;
  for (const char c : text) {
    if (c == ':') {
      if (run == 0) {
        return false;
      }
      ++colons;
      run = 0;
    } else if (is_digit(c)) {
      ++run;
      if (colons > 0 && run > 2) {
        return false;
      }
    } else {
      return false;
    }
  }
  return colons > 0 && run > 0;
}

// A slip of the one name that is filled in without being a variable.
bool near_environment(const std::string& name) {
  const std::vector<std::string> near = suggestions(name, {"environment"});
  return !near.empty();
}

}  // namespace

YamlReading yaml_reading(std::string_view text) {
  if (any_of_words(text, {"true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes",
                          "YES",  "no",   "No",   "NO",    "on",    "On",    "ON",  "off",
                          "Off",  "OFF",  "y",    "Y",     "n",     "N"})) {
    return YamlReading::kFlag;
  }
  if (any_of_words(text, {"~", "null", "Null", "NULL"})) {
    return YamlReading::kNull;
  }
  const std::string_view number = without_sign(text);
  if (all_of(number, [](char c) { return is_digit(c) || c == '_'; }) && is_digit(number[0])) {
    const bool plain = (number.size() == 1 || number[0] != '0') && !text.starts_with('+') &&
                       number.find('_') == std::string_view::npos;
    return plain ? YamlReading::kInteger : YamlReading::kOctal;
  }
  if (number.starts_with("0x") || number.starts_with("0o") || number.starts_with("0b")) {
    return all_of(number.substr(2), [](char c) { return std::isxdigit(c) != 0 || c == '_'; })
               ? YamlReading::kOctal
               : YamlReading::kText;
  }
  if (looks_sexagesimal(number)) {
    return YamlReading::kSexagesimal;
  }
  return looks_float(number) ? YamlReading::kFloat : YamlReading::kText;
}

bool home_is_known(const YamlNode& node, std::string_view path, const std::string& name,
                   const LeafContext& context) {
  if (!path.starts_with("~/") || !context.home.empty()) {
    return true;
  }
  context.problems.add(node.place, fmt::format("{}: nothing says whose home \"~\" is", name),
                       "Write the whole path. HOME is not set here; systemd and cron do not know "
                       "yours.");
  return false;
}

std::optional<Settings::Value> read_leaf(const KeySchema& key, const YamlNode& node,
                                         const std::string& where, const LeafContext& context) {
  return LeafReader(key, where, context).read(node);
}

std::optional<std::string> interpolate(const YamlNode& node, const LeafContext& context) {
  std::string result;
  const std::string& text = node.text;
  size_t at = 0;
  for (size_t open = text.find("${"); open != std::string::npos; open = text.find("${", at)) {
    const size_t close = text.find('}', open);
    if (close == std::string::npos) {
      context.problems.add(node.place, "a \"${\" is not closed", "Add the missing \"}\".");
      return {};
    }
    result += text.substr(at, open - at);
    const std::string name = text.substr(open + 2, close - open - 2);
    if (names_secret(name)) {
      context.problems.add(node.place,
                           fmt::format("{} looks like a secret and is not filled in", shown(name)),
                           "Secrets are given by reference where they are needed.");
      return {};
    }
    const std::optional<std::string> value =
        name == "environment"
            ? (context.environment.empty() ? std::nullopt : std::optional(context.environment))
            : context.variable(name);
    if (!value) {
      context.problems.add(
          node.place,
          name == "environment" ? "no environment is chosen, so ${environment} has no value"
                                : fmt::format("the variable {} is not set", shown(name)),
          name == "environment"    ? "Choose one with --environment or SALVOR_ENVIRONMENT."
          : name.empty()           ? "Write its name between the braces: ${NAME}."
          : near_environment(name) ? "Did you mean ${environment}?"
                                   : "Set it in the environment of salvor.");
      return {};
    }
    result += *value;
    at = close + 1;
  }
  result += text.substr(at);
  if (has_url_password(result)) {
    context.problems.add(node.place,
                         "with the variables filled in, a password stands in the "
                         "address",
                         "Secrets are given by reference where they are needed.");
    return {};
  }
  return result;
}

std::optional<seconds> parse_period(std::string_view text) {
  static constexpr uint64_t kLongest = uint64_t{200} * 366 * 86400;
  if (text == "0") {
    return seconds(0);
  }
  uint64_t total = 0;
  uint64_t last_unit = UINT64_MAX;
  while (!text.empty()) {
    uint64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc() || !is_digit(text[0]) || end == text.data() + text.size()) {
      return {};
    }
    const uint64_t unit = *end == 's'   ? 1
                          : *end == 'm' ? 60
                          : *end == 'h' ? 3600
                          : *end == 'd' ? 86400
                          : *end == 'w' ? 7 * 86400
                                        : 0;
    if (unit == 0 || unit >= last_unit || count > kLongest) {
      return {};
    }
    last_unit = unit;
    total += count * unit;
    if (total > kLongest) {
      return {};
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  }
  return last_unit == UINT64_MAX ? std::nullopt
                                 : std::optional(seconds(static_cast<int64_t>(total)));
}

std::optional<DayTimes> parse_window(std::string_view text) {
  static const std::regex kForm(R"((\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2}))");
  std::match_results<std::string_view::const_iterator> match;
  if (text.size() > 32 || !std::regex_match(text.begin(), text.end(), match, kForm)) {
    return {};
  }
  const auto minutes = [&](size_t hour, size_t minute) -> std::optional<std::chrono::minutes> {
    const int hours = std::stoi(match[hour].str());
    const int rest = std::stoi(match[minute].str());
    if (hours > 24 || rest > 59 || hours * 60 + rest > 24 * 60) {
      return {};
    }
    return std::chrono::minutes(hours * 60 + rest);
  };
  const auto from = minutes(1, 2);
  const auto to = minutes(3, 4);
  if (!from || !to || *from == *to) {
    return {};
  }
  return DayTimes{*from, *to};
}

std::string period_text(seconds period) {
  static constexpr std::array<std::pair<int64_t, char>, 4> kUnits{
      {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}}};
  int64_t rest = period.count();
  std::string text;
  for (const auto& [unit, letter] : kUnits) {
    if (rest >= unit) {
      text += fmt::format("{}{}", rest / unit, letter);
      rest %= unit;
    }
  }
  return text.empty() ? "0s" : text;
}

}  // namespace salvor::config
