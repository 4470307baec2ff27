#include "plan/plan_text.h"

#include <algorithm>

#include "base/format.h"
#include "crypto/sha256.h"

namespace salvor::plan {
namespace {

std::string quoted_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
    }
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string quoted_texts(const std::vector<std::string>& list) {
  std::string text = "[";
  for (const std::string& one : list) {
    text += (text.size() > 1 ? ", " : "") + quoted_text(one);
  }
  return text + "]";
}

void append_settings(std::string& text, const Settings& settings, const std::string& indent) {
  for (const auto& [key, value] : settings.all()) {
    text += indent + key + ": ";
    if (const auto* one = std::get_if<std::string>(&value)) {
      text += quoted_text(*one) + "\n";
    } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      text += quoted_texts(*list) + "\n";
    } else {
      text += "\n";
      for (const auto& [name, content] : std::get<TextMap>(value)) {
        text += indent + "  " + quoted_text(name) + ": " + quoted_text(content) + "\n";
      }
    }
  }
}

std::string_view name_of(OnFailure what) {
  switch (what) {
    case OnFailure::kStop:
      return "stop";
    case OnFailure::kContinue:
      return "continue";
    case OnFailure::kUndo:
      return "undo";
  }
  return "stop";
}

void append_approval(std::string& text, const StepSpec& spec) {
  if (spec.approval) {
    text += "    approval: " + quoted_text(spec.approval->question) +
            "\n    approval-by: " + quoted_texts(spec.approval->by) + "\n";
  }
}

void append_step(std::string& text, const PlanGraph& graph, const PlanNode& node) {
  const StepSpec& spec = node.spec;
  text += "  - id: " + quoted_text(spec.id) + "\n";
  std::vector<std::string> after;
  for (const size_t one : node.after) {
    after.push_back(graph.nodes[one].spec.id);
  }
  std::sort(after.begin(), after.end());
  text += "    after: " + quoted_texts(after) + "\n";
  text += "    " + spec.action.kind + ":\n";
  append_settings(text, spec.action.settings, "      ");
  text += "    timeout: " + std::to_string(spec.timeout.count()) + "s\n";
  if (spec.retries > 0) {
    text += "    retries: " + std::to_string(spec.retries) +
            "\n    retry-delay: " + std::to_string(spec.retry_delay.count()) + "s\n";
  }
  text += "    on-failure: " + std::string(name_of(spec.on_failure)) + "\n";
  if (spec.only != StepScope::kAlways) {
    text += spec.only == StepScope::kDrill ? "    only: drill\n" : "    only: production\n";
  }
  if (spec.undo) {
    text += "    undo:\n      " + spec.undo->kind + ":\n";
    append_settings(text, spec.undo->settings, "        ");
  }
  append_approval(text, spec);
}

}  // namespace

std::string canonical_text(const PlanGraph& graph) {
  std::string text = "plan: " + quoted_text(graph.name) + "\nparameters:\n";
  for (const auto& [key, value] : graph.parameters) {
    text += "  " + quoted_text(key) + ": " + quoted_text(value) + "\n";
  }
  text += "steps:\n";
  for (const PlanNode& node : graph.nodes) {
    append_step(text, graph, node);
  }
  return text;
}

std::string approval_hash(const PlanNode& node) {
  std::string text = node.spec.action.kind + ":\n";
  append_settings(text, node.spec.action.settings, "  ");
  append_approval(text, node.spec);
  return text_hash(text);
}

std::string text_hash(std::string_view text) {
  return to_hex(sha256(as_bytes(text)));
}

// The longest common lines, by the table: plans have few hundred lines.
std::vector<std::string> text_difference(const std::string& old_text, const std::string& new_text) {
  const auto split = [](const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    constexpr size_t kMost = 2000;
    lines.resize(std::min(lines.size(), kMost));
    return lines;
  };
  const auto a = split(old_text);
  const auto b = split(new_text);
  std::vector<std::vector<uint16_t>> common(a.size() + 1, std::vector<uint16_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? static_cast<uint16_t>(common[i + 1][j + 1] + 1)
                                  : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::vector<std::string> result;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      ++i;
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      result.push_back("-" + a[i++]);
    } else {
      result.push_back("+" + b[j++]);
    }
  }
  return result;
}

}  // namespace salvor::plan
