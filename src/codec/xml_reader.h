// Reading the small, plain XML that S3 and Azure answer with.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace salvor {

// An element: what is in it as text, and its children. Attributes, comments and processing
// instructions are skipped; name prefixes ("s3:Key") are cut off.
struct XmlElement {
  std::string name;
  std::string text;  // of this element alone, entities decoded
  std::vector<XmlElement> children;

  // The first child of that name; null when there is none.
  [[nodiscard]] const XmlElement* child(std::string_view name) const;
  // The text of that child; "" when there is none.
  [[nodiscard]] std::string child_text(std::string_view name) const;
};

// The root element. Throws Error{kDamaged} for what is not XML, for document types (their entities
// could grow without bound), and beyond 32 levels.
[[nodiscard]] XmlElement parse_xml(std::string_view text);
// For text between tags.
[[nodiscard]] std::string xml_escape(std::string_view text);

}  // namespace salvor
