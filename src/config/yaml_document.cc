#include "config/yaml_document.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "config/usual_mistakes.h"

namespace salvor::config {
namespace {

constexpr size_t kBytesLimit = size_t{1} << 20;
constexpr size_t kDepthLimit = 40;
constexpr size_t kNodesLimit = 50'000;
constexpr std::string_view kMerge = "<<";

// Ends the reading; the reason is among the problems.
struct Stopped {};

size_t count_nodes(const YamlNode& node) {
  size_t count = 1;
  for (const YamlNode& item : node.items) {
    count += count_nodes(item);
  }
  for (const YamlEntry& entry : node.entries) {
    count += 1 + count_nodes(entry.value);
  }
  return count;
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(uint32_t source, std::string_view text, Problems& problems)
      : source_(source), text_(text), problems_(problems) {}

  [[nodiscard]] YamlNode take() { return std::move(root_); }
  [[nodiscard]] bool began() const { return began_; }
  // The last "{" or "[" that is open, if the file ends in it.
  [[nodiscard]] std::optional<Place> open_bracket() const {
    for (auto open = open_.rbegin(); open != open_.rend(); ++open) {
      const std::string_view rest = after(open->mark);
      if (rest.starts_with('{') || rest.starts_with('[')) {
        return open->node.place;
      }
    }
    return {};
  }
  [[nodiscard]] Place place_of(const YAML::Mark& mark) const {
    return {.source = source_,
            .line = static_cast<uint32_t>(std::max(mark.line, 0)) + 1,
            .column = static_cast<uint32_t>(std::max(mark.column, 0)) + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (began_) {
      if (auto usual = usual_syntax_mistake(text_, place_of(mark))) {
        problems_.add(usual->place, usual->what, usual->hint);
        throw Stopped();
      }
      problems_.add(place_of(mark), "a second document begins here",
                    "One file holds one configuration: remove the line \"---\", or put what "
                    "follows into a file of its own (salvor.<environment>.yaml).");
      throw Stopped();
    }
    began_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    const std::string_view rest = after(mark);
    for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
      if (rest.starts_with(word)) {
        node.text = word;
        node.place = place_of(mark);
        node.place.length = static_cast<uint32_t>(word.size());
        break;
      }
    }
    keep(anchor, node);
    attach(std::move(node), mark);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      problems_.add(place_of(mark), "an alias stands inside what it refers to");
      throw Stopped();
    }
    nodes_ += count_nodes(found->second);
    limit(mark);
    attach(found->second, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    YamlNode node = YamlNode::scalar(value, place_of(mark));
    node.quoted = tag == "!";
    if (node.quoted && !is_closed(after(mark))) {  // yaml-cpp takes the rest of the file
      problems_.add(node.place, "a quote is not closed", "Add the missing quote.");
      throw Stopped();
    }
    node.place.length = marked_length(mark, value);
    if (!node.quoted && has_typographic_quotes(value)) {
      problems_.add(node.place, "these quotes are for printed texts; YAML takes them as letters",
                    "Type them anew: \" or '.");
    }
    keep(anchor, node);
    attach(std::move(node), mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool has_key = false;
    bool drop_value = false;  // of a key that was refused
    YamlEntry pending;        // its value follows
  };

  [[nodiscard]] std::string_view after(const YAML::Mark& mark) const {
    const auto position = static_cast<size_t>(std::max(mark.pos, 0));
    return position < text_.size() ? text_.substr(position) : std::string_view();
  }

  // Whether the quotes that a text begins with end again; true without quotes.
  static bool is_closed(std::string_view text) {
    const char quote = text.empty() ? '\0' : text[0];
    if (quote != '"' && quote != '\'') {
      return true;
    }
    for (size_t i = 1; i < text.size(); ++i) {
      const bool doubled = quote == '\'' && text[i] == quote && text.substr(i + 1, 1) == "'";
      if (doubled || (quote == '"' && text[i] == '\\')) {
        ++i;
      } else if (text[i] == quote) {
        return true;
      }
    }
    return false;
  }

  // Of the text as it stands in the file, on its first line.
  [[nodiscard]] uint32_t marked_length(const YAML::Mark& mark, const std::string& value) const {
    const std::string_view rest = after(mark);
    const size_t line = std::min(rest.find('\n'), rest.size());
    if (rest.starts_with('"') || rest.starts_with('\'')) {
      const size_t close = rest.substr(0, line).find(rest[0], 1);
      return static_cast<uint32_t>(close == std::string_view::npos ? line : close + 1);
    }
    if (!rest.empty() && (rest[0] == '|' || rest[0] == '>')) {
      return 1;
    }
    return static_cast<uint32_t>(std::clamp<size_t>(value.size(), 1, std::max<size_t>(line, 1)));
  }

  void limit(const YAML::Mark& mark) {
    if (nodes_ > kNodesLimit) {
      problems_.add(place_of(mark), fmt::format("there are more than {} values", kNodesLimit),
                    "Aliases count as often as they are used.");
      throw Stopped();
    }
    if (open_.size() > kDepthLimit) {
      problems_.add(place_of(mark), fmt::format("this is nested more than {} deep", kDepthLimit));
      throw Stopped();
    }
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      problems_.add(place_of(mark), "tags are not understood here",
                    "Leave out what begins with \"!\"; write a text in quotes.");
    }
  }

  void keep(YAML::anchor_t anchor, const YamlNode& node) {
    if (anchor != 0) {
      anchors_[anchor] = node;
    }
  }

  void begin(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
             YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    ++nodes_;
    Open open;
    open.node.kind = kind;
    open.node.place = place_of(mark);
    open.anchor = anchor;
    open.mark = mark;
    open_.push_back(std::move(open));
    limit(mark);
  }

  void end() {
    Open done = std::move(open_.back());
    open_.pop_back();
    keep(done.anchor, done.node);
    attach(std::move(done.node), done.mark);
  }

  void take_key(Open& map, const YamlNode& key, const YAML::Mark& mark) {
    map.has_key = true;
    map.drop_value = true;
    Place place = key.place.line == 0 ? place_of(mark) : key.place;
    if (!key.is_scalar()) {
      problems_.add(place,
                    key.is_null() ? "a key is missing before the colon" : "a key must be a text",
                    key.is_null() ? "Put the key in quotes if it is meant to be that word." : "");
      return;
    }
    if (key.text == kMerge && !key.quoted) {
      problems_.add(place, "merge keys are not understood here",
                    "Write the keys out, or use an alias for the whole value.");
      return;
    }
    if (const YamlEntry* earlier = map.node.entry(key.text)) {
      problems_.add(place, fmt::format("{} stands here twice", shown(key.text)),
                    fmt::format("It was given in line {} already: keep one of the two.",
                                earlier->place.line));
      return;
    }
    map.drop_value = false;
    map.pending = {.key = key.text, .place = place, .quoted = key.quoted, .value = {}};
  }

  void attach(YamlNode node, const YAML::Mark& mark) {
    ++nodes_;
    limit(mark);
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.is_list()) {
      if (node.place.line == 0) {
        node.place = parent.node.place;
      }
      parent.node.items.push_back(std::move(node));
      return;
    }
    if (!parent.has_key) {
      take_key(parent, node, mark);
      return;
    }
    parent.has_key = false;
    if (parent.drop_value) {
      return;
    }
    if (node.place.line == 0) {
      node.place = parent.pending.place;  // nothing stands there
    }
    parent.pending.value = std::move(node);
    parent.node.entries.push_back(std::move(parent.pending));
  }

  uint32_t source_;
  std::string_view text_;
  Problems& problems_;
  YamlNode root_;
  bool began_ = false;
  size_t nodes_ = 0;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
};

struct Explanation {
  std::string_view theirs;  // how yaml-cpp's message begins
  std::string_view what;
  std::string_view hint;
};

constexpr std::array<Explanation, 13> kExplanations{{
    {"illegal map value", "a colon stands where no key can be",
     "Is a value with a colon not in quotes, or the line not indented as its neighbours?"},
    {"end of map not found", "this line is not indented as the ones beside it",
     "Keys of one mapping begin in the same column."},
    {"end of map flow not found", "a \"{\" is not closed, or a comma is missing after it",
     "Add the missing \"}\", or the comma between two keys."},
    {"end of sequence flow not found", "a \"[\" is not closed, or a comma is missing after it",
     "Add the missing \"]\", or the comma between two values."},
    {"end of sequence not found", "this line is not indented as the list before it",
     "Items of one list begin in the same column, each with \"- \"."},
    {"illegal flow end", "a bracket is closed that was not opened",
     "Remove it, or put the value in quotes."},
    {"illegal block entry", "a list item cannot begin here",
     "Put the list on lines of its own below its key, each item with \"- \"."},
    {"illegal map key", "a key cannot begin here", "Put it on a line of its own."},
    {"illegal EOF in scalar", "a quote is not closed", "Add the missing quote."},
    {"the referenced anchor", "an alias refers to an anchor that is not there", ""},
    {"unknown escape character",
     "a backslash in double quotes stands before a character that it "
     "does not go with",
     "Use single quotes, in which a backslash is just a backslash."},
    {"unknown token", "a value cannot begin with this character", "Put the value in quotes."},
    {"illegal tab", "a tab stands where spaces belong", "Indent with spaces."},
}};

// Tabs in the indentation: of this line or the one before, where the reader lost its way.
std::optional<Place> tab_near(std::string_view text, const Place& place) {
  uint32_t line = 1;
  size_t begin = 0;
  std::optional<Place> found;
  while (begin <= text.size() && line <= place.line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = text.substr(begin, end - begin);
    const size_t tab = content.find('\t');
    const size_t first = content.find_first_not_of(" \t");
    if (tab != std::string_view::npos && (first == std::string_view::npos || tab < first) &&
        line + 1 >= place.line) {
      found = Place{.source = place.source, .line = line, .column = static_cast<uint32_t>(tab) + 1};
    }
    begin = end + 1;
    ++line;
  }
  return found;
}

void report_syntax(const YAML::Exception& error, const TreeBuilder& builder, std::string_view text,
                   Problems& problems) {
  Place place = builder.place_of(error.mark);
  if (const auto tab = tab_near(text, place)) {
    problems.add(*tab, "a tab stands in the indentation", "YAML is indented with spaces only.");
    return;
  }
  if (auto usual = usual_syntax_mistake(text, place)) {
    problems.add(usual->place, usual->what, usual->hint);
    return;
  }
  for (const Explanation& known : kExplanations) {
    if (std::string_view(error.msg).starts_with(known.theirs)) {
      if (known.theirs.ends_with("flow not found")) {
        place = builder.open_bracket().value_or(place);
      }
      problems.add(place, std::string(known.what), std::string(known.hint));
      return;
    }
  }
  problems.add(place, "this is not YAML: " + error.msg,
               "Look at the line before, too: often a quote or an indentation is wrong there.");
}

void move_to(YamlNode& node, const Place& place) {
  node.place = place;
  for (YamlNode& item : node.items) {
    move_to(item, place);
  }
  for (YamlEntry& entry : node.entries) {
    entry.place = place;
    move_to(entry.value, place);
  }
}

// Length of the well-formed UTF-8 sequence at the front; 0 when it is not one.
size_t utf8_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xc2 && first < 0xe0 ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80) {
      return 0;
    }
  }
  return length;
}

}  // namespace

const YamlEntry* YamlNode::entry(std::string_view key) const {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

YamlEntry* YamlNode::entry(std::string_view key) {
  return const_cast<YamlEntry*>(std::as_const(*this).entry(key));
}

const YamlNode* YamlNode::find(std::string_view key) const {
  const YamlEntry* found = entry(key);
  return found == nullptr ? nullptr : &found->value;
}

YamlNode* YamlNode::find(std::string_view key) {
  return const_cast<YamlNode*>(std::as_const(*this).find(key));
}

YamlNode& YamlNode::put(const std::string& key, const Place& key_place, YamlNode value) {
  if (YamlEntry* found = entry(key)) {
    found->value = std::move(value);
    return found->value;
  }
  entries.push_back({.key = key, .place = key_place, .quoted = false, .value = std::move(value)});
  return entries.back().value;
}

void YamlNode::remove(std::string_view key) {
  std::erase_if(entries, [&](const YamlEntry& e) { return e.key == key; });
}

YamlNode YamlNode::scalar(std::string text, const Place& place) {
  YamlNode node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  node.place = place;
  return node;
}

YamlNode YamlNode::map(const Place& place) {
  YamlNode node;
  node.kind = Kind::kMap;
  node.place = place;
  return node;
}

YamlNode read_yaml(uint32_t source, const SourceTexts& sources, Problems& problems) {
  const std::string& text = sources.at(source).text;
  if (const auto place = odd_space(text, source)) {
    problems.add(*place, "what looks like a space here is none",
                 "It was copied from a web page or a document: type the line's beginning anew.");
    return {};
  }
  TreeBuilder builder(source, text, problems);
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    report_syntax(error, builder, text, problems);
    return {};
  } catch (const Stopped&) {
    return {};
  }
  YamlNode root = builder.take();
  if (root.place.line == 0) {
    root.place = {.source = source, .line = 1, .column = 1};
  }
  if (!root.is_map() && !root.is_null()) {
    problems.add(root.place,
                 "the configuration must be a mapping: lines of the form \"key: value\"",
                 "The shortest: \"application: NAME\", \"repository: PLACE\" and \"sources:\".");
    return {};
  }
  return root;
}

YamlNode read_yaml_value(const std::string& text, const Place& place, Problems& problems) {
  if (!text.starts_with('[') && !text.starts_with('{')) {
    return YamlNode::scalar(text, place);
  }
  Problems inside;
  TreeBuilder builder(place.source, text, inside);
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    report_syntax(error, builder, text, inside);
  } catch (const Stopped&) {
    // What stopped it is among the problems.
  }
  for (const Problem& problem : inside.sorted()) {
    problems.add(place, problem.what, problem.hint);
  }
  YamlNode node = inside.errors() == 0 ? builder.take() : YamlNode();
  move_to(node, place);
  return node;
}

PreparedText prepare_text(std::string_view bytes) {
  PreparedText result;
  if (bytes.size() > kBytesLimit) {
    result.problem = "the file is larger than 1 MiB";
    result.hint = "Is this the right file?";
    return result;
  }
  if (bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff")) {
    result.problem = "the file is UTF-16";
    result.hint = "Save it as UTF-8.";
    return result;
  }
  if (bytes.starts_with("\xef\xbb\xbf")) {
    bytes.remove_prefix(3);
  }
  uint32_t line = 1;
  size_t line_begin = 0;
  result.text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = utf8_length(bytes.substr(at));
    const char c = bytes[at];
    const bool control = length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) &&
                         c != '\t' && c != '\n' && c != '\r';
    if (length == 0 || control) {
      result.place = {.line = line, .column = static_cast<uint32_t>(at - line_begin) + 1};
      result.problem = length == 0 ? "the file is not UTF-8 here"
                                   : fmt::format("a control character (0x{:02x}) stands here",
                                                 static_cast<unsigned char>(c));
      result.hint = length == 0 ? "Save it as UTF-8." : "Remove it.";
      result.text = bytes;
      return result;
    }
    if (c == '\r') {
      result.text += '\n';
      at += bytes.substr(at).starts_with("\r\n") ? 2 : 1;
    } else {
      result.text += bytes.substr(at, length);
      at += length;
    }
    if (c == '\n' || c == '\r') {
      ++line;
      line_begin = at;
    }
  }
  return result;
}

}  // namespace salvor::config
