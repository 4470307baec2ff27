#include "evidence/document.h"

#include <algorithm>

#include "base/format.h"
#include "evidence/html.h"

namespace salvor {
namespace {

// What Markdown would act on, outside of code.
std::string markdown_text(std::string_view text) {
  std::string out;
  bool code = false;
  for (const char c : text) {
    code = c == '`' ? !code : code;
    if (!code && std::string_view("\\*_[]<>#|~&").find(c) != std::string_view::npos) {
      out += '\\';
    } else if (code && c == '|') {
      out += '\\';  // cells end there even in code
    }
    out += c;
  }
  return out;
}

std::string html_inline(std::string_view text) {
  std::string out;
  bool code = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('`'), text.size());
    out += html_text(text.substr(0, end));
    if (end < text.size()) {
      code = !code;
      out += code ? "<code>" : "</code>";
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + (code ? "</code>" : "");
}

std::string html_block(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += html_text(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("@%+=:,./-_").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) {
    return std::string(text);
  }
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

std::string Document::literal(std::string_view value) {
  std::string text = printable(value);
  std::replace(text.begin(), text.end(), '`', '\'');
  return text.empty() ? "" : "`" + text + "`";
}

void Document::heading(int level, std::string text) {
  blocks_.push_back({.kind = Kind::kHeading, .level = level, .text = std::move(text)});
}
void Document::paragraph(std::string text) {
  blocks_.push_back({.kind = Kind::kParagraph, .level = 0, .text = std::move(text)});
}
void Document::list(std::vector<std::string> items) {
  Block block{.kind = Kind::kList};
  block.items = std::move(items);
  blocks_.push_back(std::move(block));
}
void Document::table(std::vector<std::string> headers, std::vector<std::vector<std::string>> rows) {
  Block block{.kind = Kind::kTable};
  block.items = std::move(headers);
  block.rows = std::move(rows);
  blocks_.push_back(std::move(block));
}
void Document::code(std::string language, std::string name, std::string text) {
  Block block{.kind = Kind::kCode};
  block.text = std::move(text);
  block.language = std::move(language);
  block.name = std::move(name);
  blocks_.push_back(std::move(block));
}

std::string Document::markdown() const {
  std::string out;
  for (const Block& block : blocks_) {
    out += out.empty() ? "" : "\n";
    switch (block.kind) {
      case Kind::kHeading:
        out += std::string(static_cast<size_t>(block.level), '#') + " " +
               markdown_text(block.text) + "\n";
        break;
      case Kind::kParagraph:
        out += markdown_text(block.text) + "\n";
        break;
      case Kind::kList:
        for (const std::string& item : block.items) {
          out += "* " + markdown_text(item) + "\n";
        }
        break;
      case Kind::kTable: {
        const auto row = [&](const std::vector<std::string>& cells) {
          out += "|";
          for (const std::string& cell : cells) {
            out += " " + markdown_text(cell) + " |";
          }
          out += "\n";
        };
        row(block.items);
        out += "|";
        for (size_t i = 0; i < block.items.size(); ++i) {
          out += "---|";
        }
        out += "\n";
        std::for_each(block.rows.begin(), block.rows.end(), row);
        break;
      }
      case Kind::kCode:
        out += "```" + block.language + " " + block.name + "\n" + block.text + "```\n";
        break;
    }
  }
  return out;
}

std::string Document::html() const {
  std::string body;
  std::string title;
  for (const Block& block : blocks_) {
    switch (block.kind) {
      case Kind::kHeading: {
        title = title.empty() ? block.text : title;
        const std::string tag = "h" + std::to_string(block.level);
        body.append("<").append(tag).append(">").append(html_inline(block.text));
        body.append("</").append(tag).append(">\n");
        break;
      }
      case Kind::kParagraph:
        body += "<p>" + html_inline(block.text) + "</p>\n";
        break;
      case Kind::kList:
        body += "<ul>\n";
        for (const std::string& item : block.items) {
          body += "<li>" + html_inline(item) + "</li>\n";
        }
        body += "</ul>\n";
        break;
      case Kind::kTable: {
        std::vector<std::vector<std::string>> rows;
        for (const std::vector<std::string>& row : block.rows) {
          std::vector<std::string>& cells = rows.emplace_back();
          std::transform(row.begin(), row.end(), std::back_inserter(cells), html_inline);
        }
        body += html_table("", block.items, rows);
        break;
      }
      case Kind::kCode:
        body += "<pre>" + html_block(block.text) + "</pre>\n";
        break;
    }
  }
  return html_document(title, body);
}

}  // namespace salvor
