#include "codec/tree_codec.h"

#include <algorithm>
#include <array>

#include "codec/go_json.h"
#include "codec/hex.h"
#include "codec/json_reader.h"
#include "codec/json_text.h"
#include "codec/tree_text_reader.h"
#include "codec/utf8.h"

namespace salvor {
namespace {

using json_reader::fail;
using json_reader::Value;
using json_text::put_bytes;
using json_text::put_decimal;
using json_text::put_literal;
using json_text::put_name;
using json_text::put_string;

constexpr size_t kMaxTreeBytes = size_t{1} << 30;
constexpr size_t kFixedNodeBound = 1024;  // all keys, numbers, times and the punctuation of a node
constexpr size_t kContentEntry = kHexIdLength + 3;
constexpr size_t kAttributeOverhead = 32;  // {"name":,"value":""},

// ---- encoding ----

constexpr size_t base64_length(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

// No node needs more bytes than this.
size_t node_bound(const Node& node) {
  const size_t text = node.name.size() + node.other_type.size() + node.user.size() +
                      node.group.size() + node.link_target.size() + node.error.size();
  size_t bound = kFixedNodeBound + 6 * text + base64_length(node.link_target.size()) +
                 node.generic_attributes.size() + node.content.size() * kContentEntry;
  for (const ExtendedAttribute& attribute : node.extended_attributes) {
    bound += kAttributeOverhead + json_text::string_bound(attribute.name.size()) +
             base64_length(attribute.value.size());
  }
  return bound + json_text::kScribble;
}

template <size_t N>
char* put_number_unless_zero(char* out, const char (&key)[N], uint64_t value) {
  return value == 0 ? out : put_decimal(put_literal(out, key), value);
}

template <size_t N>
char* put_string_unless_empty(char* out, const char (&key)[N], std::string_view value) {
  return value.empty() ? out : put_string(put_literal(out, key), value);
}

char* put_base64(char* out, std::string_view raw) {
  const std::string text = to_base64(as_bytes(raw));
  *out++ = '"';
  out = put_bytes(out, text);
  *out++ = '"';
  return out;
}

char* put_quoted_time(char* out, const Timestamp& time) {
  *out++ = '"';
  out = json_text::put_time(out, time);
  *out++ = '"';
  return out;
}

char* put_times(char* out, const Node& node) {
  out = put_literal(out, ",\"mtime\":");
  const char* const mtime = out;
  out = put_quoted_time(out, node.mtime);
  const auto length = static_cast<size_t>(out - mtime);
  out = put_literal(out, ",\"atime\":");
  if (node.atime == node.mtime) {  // what restic stores by default
    std::memcpy(out, mtime, length);
    out += length;
  } else {
    out = put_quoted_time(out, node.atime);
  }
  return put_quoted_time(put_literal(out, ",\"ctime\":"), node.ctime);
}

char* put_type(char* out, const Node& node) {
  out = put_literal(out, ",\"type\":");
  switch (node.type) {  // literals: this is written for every node
    case NodeType::kFile:
      return put_literal(out, "\"file\"");
    case NodeType::kDir:
      return put_literal(out, "\"dir\"");
    case NodeType::kSymlink:
      return put_literal(out, "\"symlink\"");
    case NodeType::kOther:
      return put_string(out, node.other_type);
    default:
      return put_string(out, node_type_name(node.type));
  }
}

char* put_attributes(char* out, const Node& node) {
  if (!node.extended_attributes.empty()) {
    out = put_literal(out, ",\"extended_attributes\":[");
    for (const ExtendedAttribute& attribute : node.extended_attributes) {
      out = put_string(put_literal(out, "{\"name\":"), attribute.name);
      out = put_literal(out, ",\"value\":");
      out = attribute.value_is_null ? put_literal(out, "null") : put_base64(out, attribute.value);
      out = put_literal(out, "},");
    }
    out[-1] = ']';
  }
  if (!node.generic_attributes.empty()) {
    out = put_literal(out, ",\"generic_attributes\":");
    out = put_bytes(out, node.generic_attributes);
  }
  return out;
}

char* put_content(char* out, const Node& node) {
  out = put_literal(out, ",\"content\":");
  if (node.content.empty()) {
    return node.type == NodeType::kFile && !node.content_is_null ? put_literal(out, "[]")
                                                                 : put_literal(out, "null");
  }
  *out++ = '[';
  for (const BlobId& id : node.content) {
    *out++ = '"';
    out = put_hex(out, id.digest());
    out = put_literal(out, "\",");
  }
  out[-1] = ']';
  return out;
}

char* put_node(char* out, const Node& node) {
  out = put_name(put_literal(out, "{\"name\":"), node.name);
  out = put_type(out, node);
  out = put_number_unless_zero(out, ",\"mode\":", node.mode);
  out = put_times(out, node);
  out = put_decimal(put_literal(out, ",\"uid\":"), node.uid);
  out = put_decimal(put_literal(out, ",\"gid\":"), node.gid);
  out = put_string_unless_empty(out, ",\"user\":", node.user);
  out = put_string_unless_empty(out, ",\"group\":", node.group);
  out = put_number_unless_zero(out, ",\"inode\":", node.inode);
  out = put_number_unless_zero(out, ",\"device_id\":", node.device_id);
  out = put_number_unless_zero(out, ",\"size\":", node.size);
  out = put_number_unless_zero(out, ",\"links\":", node.links);
  if (!node.link_target.empty()) {
    out = put_string(put_literal(out, ",\"linktarget\":"), node.link_target);
    if (!is_valid_utf8(node.link_target)) {
      out = put_base64(put_literal(out, ",\"linktarget_raw\":"), node.link_target);
    }
  }
  out = put_attributes(out, node);
  out = put_number_unless_zero(out, ",\"device\":", node.device);
  out = put_content(out, node);
  if (node.subtree) {
    out = put_hex(put_literal(out, ",\"subtree\":\""), node.subtree->digest());
    *out++ = '"';
  }
  out = put_string_unless_empty(out, ",\"error\":", node.error);
  *out++ = '}';
  return out;
}

constexpr std::string_view kHead = "{\"nodes\":[";
constexpr std::string_view kTail = "]}\n";

// ---- decoding ----

void read_attributes(Value& value, std::vector<ExtendedAttribute>& out) {
  out.clear();
  if (value.is_null()) {
    return;
  }
  for (auto element : value.get_array()) {
    ExtendedAttribute& attribute = out.emplace_back();
    for (auto field : element.get_object()) {
      const std::string_view key = json_reader::quoted_text(field.key().value().raw());
      Value item = field.value();
      if (key == "name") {
        json_reader::read_string(item, attribute.name);
      } else if (key == "value") {
        attribute.value_is_null = item.is_null();
        attribute.value = attribute.value_is_null
                              ? std::string()
                              : std::string(as_text(json_reader::read_base64(item).view()));
      }
    }
  }
}

class NodeReader {
 public:
  explicit NodeReader(const char* end) : end_(end) {}

  void read(simdjson::ondemand::object object, Node& node) {
    raw_target_ = false;
    // A field that is missing is one that Go leaves empty: no type is an unknown type, no content
    // is null.
    node.type = NodeType::kOther;
    null_content_ = true;
    previous_time_ = {};
    for (auto field : object) {
      const std::string_view key = json_reader::quoted_text(field.key().value().raw());
      Value value = field.value();
      if (!read_field(key, value, node)) {
        read_rare_field(key, value, node);
      }
    }
    node.content_is_null = null_content_ && node.type == NodeType::kFile;
    if (node.name.empty()) {
      fail("node without a name");
    }
  }

 private:
  // The fields that practically every node has, by length first: one comparison decides.
  bool read_field(std::string_view key, Value& value, Node& node) {
    switch (key.size()) {
      case 3:
        if (key == "uid") {
          return read_number(value, node.uid);
        }
        return key == "gid" && read_number(value, node.gid);
      case 4:
        if (key == "name") {
          return read_name(value, node.name);
        }
        if (key == "type") {
          return read_type(value, node);
        }
        if (key == "mode") {
          return read_number(value, node.mode);
        }
        if (key == "size") {
          return read_number(value, node.size);
        }
        return key == "user" && read_text(value, node.user);
      case 5:
        if (key == "mtime") {
          return read_time(value, node.mtime);
        }
        if (key == "atime") {
          return read_time(value, node.atime);
        }
        if (key == "ctime") {
          return read_time(value, node.ctime);
        }
        if (key == "inode") {
          return read_number(value, node.inode);
        }
        if (key == "links") {
          return read_number(value, node.links);
        }
        return key == "group" && read_text(value, node.group);
      case 7:
        if (key == "content") {
          return read_content(value, node);
        }
        return key == "subtree" && read_subtree(value, node);
      case 9:
        return key == "device_id" && read_number(value, node.device_id);
      default:
        return false;
    }
  }

  void read_rare_field(std::string_view key, Value& value, Node& node) {
    if (key == "linktarget") {
      if (!raw_target_) {
        read_text(value, node.link_target);
      }
    } else if (key == "linktarget_raw") {
      if (!value.is_null()) {
        node.link_target = as_text(json_reader::read_base64(value).view());
        raw_target_ = true;
      }
    } else if (key == "extended_attributes") {
      read_attributes(value, node.extended_attributes);
    } else if (key == "generic_attributes") {
      read_generic(value, node);
    } else if (key == "device") {
      read_number(value, node.device);
    } else if (key == "error") {
      read_text(value, node.error);
    }
  }

  template <class Integer>
  static bool read_number(Value& value, Integer& out) {
    if (!value.is_null()) {
      out = json_reader::read_unsigned<Integer>(value);
    }
    return true;
  }

  static bool read_text(Value& value, std::string& out) {
    if (!value.is_null()) {
      json_reader::read_string(value, out);
    }
    return true;
  }

  static bool read_name(Value& value, std::string& out) {
    const std::string_view text = json_reader::quoted_text(value);
    if (text.find('\\') == std::string_view::npos) {
      out.assign(text);
      return true;
    }
    json_reader::unescape(text, out);
    auto unquoted = unquote_go(out);
    if (!unquoted) {
      fail("malformed node name");
    }
    out = std::move(*unquoted);
    return true;
  }

  static bool read_type(Value& value, Node& node) {
    std::string text;
    json_reader::read_string(value, text);
    node.type = node_type_from_name(text);
    node.other_type = node.type == NodeType::kOther ? text : std::string();
    return true;
  }

  // atime repeats mtime by default: one comparison instead of a parse.
  bool read_time(Value& value, Timestamp& out) {
    if (value.is_null()) {
      return true;
    }
    const std::string_view text = json_reader::quoted_text(value);
    if (text == previous_time_) {
      out = previous_;
      return true;
    }
    const auto time = parse_go_time(text);
    if (!time) {
      fail("malformed time");
    }
    out = *time;
    previous_ = *time;
    previous_time_ = text;
    return true;
  }

  bool read_content(Value& value, Node& node) {
    node.content.clear();
    null_content_ = value.is_null();
    if (null_content_) {
      return true;
    }
    for (auto element : value.get_array()) {
      const char* digits = element.get_raw_json_string().value().raw();
      Digest digest;
      if (end_ - digits <= static_cast<ptrdiff_t>(kHexIdLength) || !read_hex(digits, digest) ||
          digits[kHexIdLength] != '"') {
        fail("malformed content id");
      }
      node.content.emplace_back(digest);
    }
    return true;
  }

  static bool read_subtree(Value& value, Node& node) {
    if (!value.is_null()) {
      node.subtree = json_reader::read_id<BlobId>(value);
    }
    return true;
  }

  static void read_generic(Value& value, Node& node) {
    if (value.is_null()) {
      return;
    }
    simdjson::ondemand::object object = value.get_object();
    const std::string_view text = object.raw_json().value();
    node.generic_attributes.assign(text == "{}" ? std::string_view() : text);
  }

  const char* end_;
  bool raw_target_ = false;
  bool null_content_ = false;
  std::string_view previous_time_;
  Timestamp previous_;
};

}  // namespace

TreeEncoder::TreeEncoder() {
  out_.append(kHead);
}

void TreeEncoder::add(const Node& node) {
  if (node.name.empty()) {
    throw Error(ErrorCode::kFailed, "a tree cannot hold a node without a name");
  }
  if (!empty_ && node.name <= last_name_) {
    throw Error(ErrorCode::kFailed, "tree nodes are not sorted by name");
  }
  const size_t old_size = out_.size();
  char* const begin = reinterpret_cast<char*>(out_.extend(node_bound(node)).data());
  char* end = begin;
  if (!empty_) {
    *end++ = ',';
  }
  end = put_node(end, node);
  out_.resize(old_size + static_cast<size_t>(end - begin));
  last_name_ = node.name;
  empty_ = false;
}

std::string TreeEncoder::finish() {
  out_.append(kTail);
  std::string blob(as_text(out_.view()));
  start();
  return blob;
}

Buffer TreeEncoder::finish_buffer() {
  out_.append(kTail);
  Buffer blob = std::move(out_);
  out_ = Buffer();
  start();
  return blob;
}

void TreeEncoder::start() {
  out_.clear();
  out_.append(kHead);
  empty_ = true;
}

std::string encode_tree(const Tree& tree) {
  TreeEncoder encoder;
  for (const Node& node : tree.nodes) {
    encoder.add(node);
  }
  return encoder.finish();
}

struct TreeDecoder::State {
  json_reader::Reader reader;

  Tree decode(ByteView blob) {
    auto document = reader.open(blob, kMaxTreeBytes);
    NodeReader node_reader(reader.end());
    Tree tree;
    bool found = false;
    for (auto field : document.get_object()) {
      const std::string_view key = json_reader::quoted_text(field.key().value().raw());
      if (key != "nodes") {
        continue;
      }
      found = true;
      Value value = field.value();
      if (value.is_null()) {
        continue;
      }
      tree.nodes.clear();
      tree.nodes.reserve(estimate_nodes(as_text(blob)));
      for (auto element : value.get_array()) {
        node_reader.read(element.get_object(), tree.nodes.emplace_back());
      }
    }
    if (!found) {
      fail("no nodes");
    }
    reader.close(document);
    return tree;
  }
};

TreeDecoder::TreeDecoder() : state_(std::make_unique<State>()) {}
TreeDecoder::~TreeDecoder() = default;
TreeDecoder::TreeDecoder(TreeDecoder&&) noexcept = default;
TreeDecoder& TreeDecoder::operator=(TreeDecoder&&) noexcept = default;

Tree TreeDecoder::decode(ByteView blob) {
  return json_reader::guard("tree", [&] {
    if (blob.size() > kMaxTreeBytes) {
      fail("larger than the limit");
    }
    Tree tree;
    if (!read_restic_tree(as_text(blob), tree)) {
      tree = state_->decode(blob);
    }
    return tree;
  });
}

Tree TreeDecoder::decode_any_form(ByteView blob) {
  return json_reader::guard("tree", [&] { return state_->decode(blob); });
}

}  // namespace salvor
