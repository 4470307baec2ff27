#include "codec/tree_text_reader.h"

#include <algorithm>

#include "codec/go_json.h"
#include "codec/json_reader.h"
#include "codec/text_cursor.h"

namespace salvor {
namespace {

constexpr uint64_t kTypicalChunk = uint64_t{1} << 20;

class Reader {
 public:
  explicit Reader(std::string_view blob) : cursor_(blob) {}

  bool read(Tree& out) {
    if (!cursor_.take("{\"nodes\":[")) {
      return false;
    }
    if (!cursor_.sees("]")) {
      do {
        if (!read_node(out.nodes.emplace_back())) {
          return false;
        }
      } while (cursor_.take(","));
    }
    return cursor_.take("]}\n") && cursor_.done();
  }

 private:
  // The fields stand in this order; those in `optional` lines may be missing.
  bool read_node(Node& node) {
    return cursor_.take("{\"name\":\"") && read_name(node.name) && cursor_.take(",\"type\":\"") &&
           read_type(node.type) &&                      //
           optional_number(",\"mode\":", node.mode) &&  //
           read_times(node) && cursor_.take(",\"uid\":") && cursor_.take_number(node.uid) &&
           cursor_.take(",\"gid\":") && cursor_.take_number(node.gid) &&
           optional_text(",\"user\":\"", node.user) && optional_text(",\"group\":\"", node.group) &&
           optional_number(",\"inode\":", node.inode) &&
           optional_number(",\"device_id\":", node.device_id) &&
           optional_number(",\"size\":", node.size) && optional_number(",\"links\":", node.links) &&
           read_link(node) && read_attributes(node.extended_attributes) &&
           optional_number(",\"device\":", node.device) && read_content(node) &&
           read_subtree(node) && optional_text(",\"error\":\"", node.error) && cursor_.take("}");
  }

  template <class Integer, size_t N>
  bool optional_number(const char (&key)[N], Integer& out) {
    return !cursor_.take(key) || cursor_.take_number(out);
  }

  template <size_t N>
  bool optional_text(const char (&key)[N], std::string& out) {
    return !cursor_.take(key) || read_text(out);
  }

  // The opening quote has been taken, here and below.
  bool read_text(std::string& out) {
    TextCursor::Quoted quoted;
    if (!cursor_.take_quoted(quoted)) {
      return false;
    }
    if (quoted.escaped) {
      json_reader::unescape(quoted.text, out);
    } else {
      out.assign(quoted.text);
    }
    return true;
  }

  bool read_name(std::string& out) {
    TextCursor::Quoted quoted;
    if (!cursor_.take_quoted(quoted) || quoted.text.empty()) {
      return false;
    }
    if (!quoted.escaped) {
      out.assign(quoted.text);
      return true;
    }
    json_reader::unescape(quoted.text, out);
    auto unquoted = unquote_go(out);
    if (!unquoted || unquoted->empty()) {
      return false;
    }
    out = std::move(*unquoted);
    return true;
  }

  bool read_base64(std::string& out) {
    TextCursor::Quoted quoted;
    if (!cursor_.take_quoted(quoted) || !from_base64(quoted.text, bytes_)) {
      return false;
    }
    out.assign(as_text(bytes_.view()));
    return true;
  }

  bool read_type(NodeType& out) {
    if (cursor_.take("file\"")) {
      out = NodeType::kFile;
      return true;
    }
    TextCursor::Quoted quoted;
    if (!cursor_.take_quoted(quoted)) {
      return false;
    }
    out = node_type_from_name(quoted.text);
    return out != NodeType::kOther;
  }

  // Often all three are the same text.
  bool read_times(Node& node) {
    if (!cursor_.take(",\"mtime\":\"")) {
      return false;
    }
    const char* const begin = cursor_.position();
    if (!cursor_.take_time(node.mtime)) {
      return false;
    }
    const std::string_view mtime(begin, static_cast<size_t>(cursor_.position() - begin) - 1);
    return cursor_.take(",\"atime\":\"") && read_time_like(mtime, node.mtime, node.atime) &&
           cursor_.take(",\"ctime\":\"") && read_time_like(mtime, node.mtime, node.ctime);
  }

  bool read_time_like(std::string_view text, const Timestamp& known, Timestamp& out) {
    if (cursor_.take_again(text)) {
      out = known;
      return true;
    }
    return cursor_.take_time(out);
  }

  bool read_link(Node& node) {
    if (!optional_text(",\"linktarget\":\"", node.link_target)) {
      return false;
    }
    return !cursor_.take(",\"linktarget_raw\":\"") || read_base64(node.link_target);
  }

  bool read_attributes(std::vector<ExtendedAttribute>& out) {
    if (!cursor_.take(",\"extended_attributes\":[")) {
      return true;
    }
    do {
      ExtendedAttribute& attribute = out.emplace_back();
      if (!cursor_.take("{\"name\":\"") || !read_text(attribute.name) ||
          !cursor_.take(",\"value\":\"") || !read_base64(attribute.value) || !cursor_.take("}")) {
        return false;
      }
    } while (cursor_.take(","));
    return cursor_.take("]");
  }

  bool read_content(Node& node) {
    if (cursor_.take(",\"content\":null")) {
      node.content_is_null = node.type == NodeType::kFile;
      return true;
    }
    if (!cursor_.take(",\"content\":[")) {
      return false;
    }
    if (cursor_.take("]")) {
      return true;
    }
    // The size is a hint that may lie: it is worth one allocation, not gigabytes.
    node.content.reserve(std::min<uint64_t>(node.size / kTypicalChunk + 1, 4096));
    do {
      Digest digest;
      if (!cursor_.take("\"") || !cursor_.take_id(digest) || !cursor_.take("\"")) {
        return false;
      }
      node.content.emplace_back(digest);
    } while (cursor_.take(","));
    return cursor_.take("]");
  }

  bool read_subtree(Node& node) {
    if (!cursor_.take(",\"subtree\":\"")) {
      return true;
    }
    Digest digest;
    if (!cursor_.take_id(digest) || !cursor_.take("\"")) {
      return false;
    }
    node.subtree.emplace(digest);
    return true;
  }

  TextCursor cursor_;
  Buffer bytes_;
};

}  // namespace

bool read_restic_tree(std::string_view blob, Tree& out) {
  out.nodes.clear();
  out.nodes.reserve(estimate_nodes(blob));
  return Reader(blob).read(out);
}

size_t estimate_nodes(std::string_view blob) {
  static constexpr std::string_view kKey = "{\"name\":\"";  // starts with a rare byte
  constexpr size_t kSample = size_t{32} << 10;
  const std::string_view sample = blob.substr(0, kSample);
  size_t count = 0;
  for (size_t at = sample.find(kKey); at != std::string_view::npos;
       at = sample.find(kKey, at + 1)) {
    ++count;
  }
  return sample.size() == blob.size() ? count : count * (blob.size() / kSample + 1);
}

}  // namespace salvor
