#include "evidence/html.h"

#include <fmt/format.h>

#include "base/format.h"
#include "codec/utf8.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

constexpr std::string_view kStyle = R"css(
:root{--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--paper:#fff;--panel:#f6f8fa;--good:#116329;
--good-bg:#dafbe1;--bad:#a40e26;--bad-bg:#ffebe9;--bar:#2f6fdb;--grid:#e3e8ee;
color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--line:#3d444d;
--paper:#0d1117;
--panel:#161b22;--good:#56d364;--good-bg:#12261e;--bad:#ff7b72;--bad-bg:#2d1518;--bar:#5b95f5;
--grid:#262c34}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 3rem}
h1{font-size:1.55rem;line-height:1.25;margin:.2rem 0 .4rem}
h2{font-size:1.05rem;margin:2rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h3{font-size:.98rem;margin:1.3rem 0 .4rem}
p{margin:.4rem 0}
a{color:var(--bar)}
.verdict{border-radius:10px;padding:1rem 1.25rem;border:1px solid;margin-bottom:1.2rem}
.verdict strong{font-size:1.05rem;letter-spacing:.06em}
.verdict p{font-size:1.05rem;margin:.2rem 0 0}
.short,td.good,td.bad,td .good,td .bad{white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}
.verdict.good{background:var(--good-bg);border-color:var(--good)}
.verdict.bad{background:var(--bad-bg);border-color:var(--bad)}
.verdict p{color:var(--ink)}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.2rem 1.2rem;margin:.6rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-size:.86rem;padding-bottom:.3rem}
th,td{text-align:left;padding:.38rem .7rem .38rem 0;border-bottom:1px solid var(--grid);
vertical-align:top;overflow-wrap:anywhere}
th{white-space:nowrap;font-weight:600;font-size:.86rem;color:var(--soft);
border-bottom-color:var(--line)}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem;
overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem;
margin:1rem 0}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem}
.tile b{display:block;font-size:1.3rem;line-height:1.3}
.tile span{color:var(--soft);font-size:.86rem}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
svg .tick{fill:var(--soft);font-size:11px}
svg .note{paint-order:stroke;stroke:var(--paper);stroke-width:4px}
svg .grid{stroke:var(--grid)}svg .bar{fill:var(--bar)}svg .fail{fill:var(--bad)}
svg .idle{fill:var(--line)}svg .from{stroke:var(--bad);stroke-dasharray:4 3}
svg .until{stroke:var(--good);stroke-dasharray:4 3}svg .from-text{fill:var(--bad)}
svg .until-text{fill:var(--good)}
footer{margin-top:2.5rem;color:var(--soft);font-size:.86rem}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--panel:#f4f4f4;--good:#0b5a24;
--good-bg:#fff;--bad:#9a0b20;--bad-bg:#fff;--grid:#ddd;--bar:#2f6fdb}
body{font-size:10.5pt}main{padding:0;max-width:none}
h2{break-after:avoid}tr,.tile,svg{break-inside:avoid}
pre{white-space:pre-wrap}@page{margin:16mm 15mm}}
)css";

// Marks, embeddings, overrides and isolates.
bool turns_text(uint32_t rune) {
  return rune == 0x61c || rune == 0x200e || rune == 0x200f || (rune >= 0x202a && rune <= 0x202e) ||
         (rune >= 0x2066 && rune <= 0x2069);
}

}  // namespace

std::string html_text(std::string_view raw) {
  const std::string clean = printable(raw);
  std::string_view left = clean;
  std::string out;
  out.reserve(clean.size() + clean.size() / 8);
  while (!left.empty()) {
    const Rune rune = decode_rune(left);
    const size_t length = rune.length == 0 ? 1 : rune.length;
    switch (left[0]) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += turns_text(rune.value) ? fmt::format("\\u{{{:x}}}", rune.value)
                                      : std::string(left.substr(0, length));
    }
    left.remove_prefix(length);
  }
  return out;
}

std::string html_document(std::string_view title, std::string_view body) {
  const std::string hash = to_base64(sha256(as_bytes(kStyle)));
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  out +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'sha256-" +
      hash + "'; base-uri 'none'; form-action 'none'\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  out += "<meta name=\"color-scheme\" content=\"light dark\">\n";
  out += "<meta name=\"referrer\" content=\"no-referrer\">\n";
  out += "<title>" + html_text(title) + "</title>\n<style>" + std::string(kStyle) +
         "</style>\n</head>\n<body>\n<main>\n";
  out += body;
  out += "</main>\n</body>\n</html>\n";
  return out;
}

std::string html_table(std::string_view caption, const std::vector<std::string>& headers,
                       const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<div class=\"scroll\"><table>\n";
  out += caption.empty() ? "" : "<caption>" + html_text(caption) + "</caption>\n";
  out += "<thead><tr>";
  for (const std::string& header : headers) {
    out += "<th scope=\"col\">" + html_text(header) + "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : rows) {
    out += "<tr>";
    for (const std::string& cell : row) {
      out += "<td>" + cell + "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string out = "<dl>\n";
  for (const auto& [name, value] : facts) {
    out += "<dt>" + html_text(name) + "</dt><dd>" + html_text(value) + "</dd>\n";
  }
  return out + "</dl>\n";
}

std::string html_unbroken(std::string_view html) {
  return "<span class=\"short\">" + std::string(html) + "</span>";
}

std::string html_mark(bool good, std::string_view text) {
  return std::string("<span class=\"") + (good ? "good\">✓ " : "bad\">✗ ") + html_text(text) +
         "</span>";
}

}  // namespace salvor
