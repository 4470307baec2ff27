#include "config/yaml_printer.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "config/leaf.h"

namespace salvor::config {
namespace {

// Without quotes it would end early, be a comment, or be something else than a text.
bool needs_quotes(std::string_view text) {
  static constexpr std::string_view kFirst = "-?:,[]{}#&*!|>'\"%@` ";
  if (text.empty() || text.back() == ' ' || text.back() == ':') {
    return true;
  }
  const bool dash = text[0] == '-' && text.size() > 1 && text[1] != ' ';
  if (!dash && kFirst.find(text[0]) != std::string_view::npos) {
    return true;
  }
  return text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos ||
         text.find_first_of("[]{},") != std::string_view::npos ||
         std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; }) ||
         text.starts_with("---") || text.starts_with("...");
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\r':
        result += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

class Printer {
 public:
  explicit Printer(const YamlComment& comment) : comment_(comment) {}

  std::string print(const YamlNode& node) {
    content(node, 0, false);
    return align();
  }

 private:
  struct Line {
    std::string text;
    std::string comment;
  };

  void line(std::string text, const Place& place) {
    lines_.push_back({std::move(text), comment_ ? comment_(place) : ""});
  }

  static bool is_small(const YamlNode& node) {
    return node.is_scalar() || node.is_null() || (node.is_list() && node.items.empty()) ||
           (node.is_map() && node.entries.empty());
  }
  static std::string small(const YamlNode& node) {
    switch (node.kind) {
      case YamlNode::Kind::kNull:
        return "null";
      case YamlNode::Kind::kList:
        return "[]";
      case YamlNode::Kind::kMap:
        return "{}";
      case YamlNode::Kind::kScalar:
        return yaml_text(node.text, node.quoted);
    }
    return "";
  }

  void content(const YamlNode& node, size_t indent, bool inline_first) {
    const std::string margin(indent, ' ');
    bool first = inline_first;
    if (is_small(node)) {
      line(margin + small(node), node.place);
      return;
    }
    for (const YamlEntry& entry : node.entries) {
      std::string begin = first ? std::move(pending_) : margin;
      first = false;
      begin += yaml_text(entry.key, entry.quoted) + ":";
      if (is_small(entry.value)) {
        line(begin + " " + small(entry.value), entry.value.place);
      } else {
        lines_.push_back({std::move(begin), ""});
        content(entry.value, indent + 2, false);
      }
    }
    for (const YamlNode& item : node.items) {
      std::string begin = (first ? std::move(pending_) : margin) + "- ";
      first = false;
      if (is_small(item)) {
        line(begin + small(item), item.place);
      } else {
        pending_ = std::move(begin);
        content(item, indent + 2, true);
      }
    }
  }

  [[nodiscard]] std::string align() const {
    static constexpr size_t kWidest = 60;
    size_t width = 0;
    for (const Line& one : lines_) {
      if (!one.comment.empty() && one.text.size() <= kWidest) {
        width = std::max(width, one.text.size());
      }
    }
    std::string text;
    for (const Line& one : lines_) {
      text += one.text;
      if (!one.comment.empty()) {
        text += std::string(width > one.text.size() ? width - one.text.size() : 0, ' ') + "  # " +
                one.comment;
      }
      text += '\n';
    }
    return text;
  }

  const YamlComment& comment_;
  std::vector<Line> lines_;
  std::string pending_;  // what stands before a list's item
};

}  // namespace

std::string yaml_text(std::string_view text, bool quoted) {
  return needs_quotes(text) || (quoted && yaml_reading(text) != YamlReading::kText)
             ? in_quotes(text)
             : std::string(text);
}

std::string write_yaml(const YamlNode& node, const YamlComment& comment) {
  return Printer(comment).print(node);
}

}  // namespace salvor::config
