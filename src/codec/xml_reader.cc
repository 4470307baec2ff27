#include "codec/xml_reader.h"

#include <charconv>

#include "base/error.h"

namespace salvor {
namespace {

constexpr size_t kMaxDepth = 32;
constexpr std::string_view kBlanks = " \t\r\n";

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kDamaged, std::string("not an XML reply: ") + what);
}

void append_code_point(std::string& out, uint32_t code) {
  if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    fail("no such character");
  }
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
  };
  if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6U));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0U | (code >> 12U));
    tail(6);
  } else {
    out += static_cast<char>(0xF0U | (code >> 18U));
    tail(12);
    tail(6);
  }
  tail(0);
}

void append_entity(std::string& out, std::string_view entity) {
  if (entity == "amp") {
    out += '&';
  } else if (entity == "lt") {
    out += '<';
  } else if (entity == "gt") {
    out += '>';
  } else if (entity == "quot") {
    out += '"';
  } else if (entity == "apos") {
    out += '\'';
  } else if (entity.size() > 1 && entity[0] == '#') {
    const bool hex = entity[1] == 'x';
    const std::string_view digits = entity.substr(hex ? 2 : 1);
    uint32_t code = 0;
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, code, hex ? 16 : 10);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      fail("no such character");
    }
    append_code_point(out, code);
  } else {
    fail("unknown entity");
  }
}

void append_text(std::string& out, std::string_view raw) {
  for (;;) {
    const size_t ampersand = raw.find('&');
    out += raw.substr(0, ampersand);
    if (ampersand == std::string_view::npos) {
      return;
    }
    const size_t end = raw.find(';', ampersand);
    if (end == std::string_view::npos) {
      fail("an entity without end");
    }
    append_entity(out, raw.substr(ampersand + 1, end - ampersand - 1));
    raw.remove_prefix(end + 1);
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  XmlElement document() {
    if (rest_.starts_with("\xEF\xBB\xBF")) {
      rest_.remove_prefix(3);
    }
    skip_between();
    XmlElement root;
    element(root, 0);
    skip_between();
    if (!rest_.empty()) {
      fail("something follows the end");
    }
    return root;
  }

 private:
  // The text up to `end`, which is skipped too.
  std::string_view until(std::string_view end) {
    const size_t at = rest_.find(end);
    if (at == std::string_view::npos) {
      fail("it ends too early");
    }
    const std::string_view before = rest_.substr(0, at);
    rest_.remove_prefix(at + end.size());
    return before;
  }
  bool skip_special() {
    if (rest_.starts_with("<?")) {
      (void)until("?>");
    } else if (rest_.starts_with("<!--")) {
      (void)until("-->");
    } else {
      return false;
    }
    return true;
  }
  void skip_between() {
    do {
      rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size()));
    } while (skip_special());
  }
  // What stands between < and >; a > inside of quotes does not end it.
  std::string_view tag() {
    if (!rest_.starts_with('<') || rest_.starts_with("<!")) {
      fail("no element where one was expected");
    }
    char quote = '\0';
    for (size_t at = 1; at < rest_.size(); ++at) {
      const char c = rest_[at];
      if (quote != '\0') {
        quote = c == quote ? '\0' : quote;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '>') {
        const std::string_view inside = rest_.substr(1, at - 1);
        rest_.remove_prefix(at + 1);
        return inside;
      }
    }
    fail("it ends too early");
  }
  static std::string local_name(std::string_view inside) {
    const std::string_view name = inside.substr(0, inside.find_first_of(kBlanks));
    const size_t colon = name.find(':');
    const std::string_view local = colon == std::string_view::npos ? name : name.substr(colon + 1);
    if (local.empty()) {
      fail("an element without name");
    }
    return std::string(local);
  }
  void element(XmlElement& out, size_t depth) {
    if (depth >= kMaxDepth) {
      fail("nested too deeply");
    }
    std::string_view inside = tag();
    const bool empty = inside.ends_with('/');
    if (empty) {
      inside.remove_suffix(1);
    }
    out.name = local_name(inside);
    while (!empty) {
      append_text(out.text, rest_.substr(0, rest_.find('<')));
      rest_.remove_prefix(std::min(rest_.find('<'), rest_.size()));
      if (rest_.starts_with("</")) {
        rest_.remove_prefix(2);
        if (local_name(until(">")) != out.name) {
          fail("elements overlap");
        }
        return;
      }
      if (rest_.starts_with("<![CDATA[")) {
        rest_.remove_prefix(9);
        out.text += until("]]>");
      } else if (!skip_special()) {
        element(out.children.emplace_back(), depth + 1);
      }
    }
  }

  std::string_view rest_;
};

}  // namespace

const XmlElement* XmlElement::child(std::string_view wanted) const {
  for (const XmlElement& element : children) {
    if (element.name == wanted) {
      return &element;
    }
  }
  return nullptr;
}

std::string XmlElement::child_text(std::string_view wanted) const {
  const XmlElement* found = child(wanted);
  return found == nullptr ? std::string() : found->text;
}

XmlElement parse_xml(std::string_view text) {
  return Parser(text).document();
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace salvor
