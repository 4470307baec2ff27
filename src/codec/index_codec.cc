#include "codec/index_codec.h"

#include "codec/go_json.h"
#include "codec/hex.h"
#include "codec/json_reader.h"
#include "codec/json_text.h"
#include "codec/text_cursor.h"

namespace salvor {
namespace {

using json_reader::fail;
using json_reader::Value;
using json_text::put_decimal;
using json_text::put_literal;

constexpr size_t kMaxIndexBytes = size_t{1} << 30;
constexpr size_t kSealOverhead = 32;
constexpr size_t kPackBound = 128;  // id, keys and punctuation of a pack
constexpr size_t kBlobBound = 192;  // the same of a blob, with three numbers

char* put_blob(char* out, const PackedBlob& blob) {
  out = put_hex(put_literal(out, "{\"id\":\""), blob.handle.id.digest());
  out = blob.handle.type == BlobType::kTree ? put_literal(out, "\",\"type\":\"tree\",\"offset\":")
                                            : put_literal(out, "\",\"type\":\"data\",\"offset\":");
  out = put_decimal(out, blob.offset);
  out = put_decimal(put_literal(out, ",\"length\":"), blob.length);
  if (blob.compressed()) {
    out = put_decimal(put_literal(out, ",\"uncompressed_length\":"), blob.plain_length);
  }
  return put_literal(out, "},");
}

BlobType read_type(Value& value) {
  const std::string_view text = json_reader::quoted_text(value);
  if (text == "data") {
    return BlobType::kData;
  }
  if (text != "tree") {
    fail("unknown blob type");
  }
  return BlobType::kTree;
}

// What no pack can hold.
bool plausible(const PackedBlob& blob) {
  return blob.length >= kSealOverhead && blob.length <= UINT32_MAX - blob.offset;
}

PackedBlob read_blob(json_reader::Object object) {
  PackedBlob blob;
  bool has_id = false;
  bool has_type = false;
  // rustic writes "uncompressed_length":null where restic leaves the field out.
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "id") {
      blob.handle.id = json_reader::read_id<BlobId>(value);
      has_id = true;
    } else if (key == "type") {
      blob.handle.type = read_type(value);
      has_type = true;
    } else if (key == "offset") {
      blob.offset = json_reader::read_unsigned<uint32_t>(value);
    } else if (key == "length") {
      blob.length = json_reader::read_unsigned<uint32_t>(value);
    } else if (key == "uncompressed_length") {
      blob.plain_length = json_reader::read_unsigned<uint32_t>(value);
    }
  });
  if (!has_id || !has_type) {
    fail("blob without id or type");
  }
  if (!plausible(blob)) {
    fail("blob shorter than its seal or beyond 4 GiB");
  }
  return blob;
}

}  // namespace

IndexEncoder::IndexEncoder() : out_("{\"packs\":[") {}

namespace {

// Everything of a pack but the closing brace.
void append_pack(std::string& out, bool first, const PackId& pack,
                 std::span<const PackedBlob> blobs) {
  const size_t old_size = out.size();
  const size_t bound = kPackBound + blobs.size() * kBlobBound;
  if (out.capacity() < old_size + bound) {
    out.reserve(2 * (old_size + bound));
  }
  out.resize(old_size + bound);
  char* end = out.data() + old_size;
  if (!first) {
    *end++ = ',';
  }
  end = put_hex(put_literal(end, "{\"id\":\""), pack.digest());
  end = put_literal(end, "\",\"blobs\":[");
  for (const PackedBlob& blob : blobs) {
    end = put_blob(end, blob);
  }
  if (!blobs.empty()) {
    --end;
  }
  *end++ = ']';
  out.resize(static_cast<size_t>(end - out.data()));
}

}  // namespace

void IndexEncoder::add_pack(const PackId& pack, std::span<const PackedBlob> blobs) {
  append_pack(out_, empty_, pack, blobs);
  out_ += '}';
  empty_ = false;
}

void IndexEncoder::add_marked(const MarkedPack& pack) {
  append_pack(marked_, marked_.empty(), pack.id, pack.blobs);
  if (pack.time) {
    marked_ += ",\"time\":\"";
    append_go_time(marked_, *pack.time);
    marked_ += '"';
  }
  marked_ += '}';
}

std::string IndexEncoder::finish() {
  out_ += ']';
  if (!marked_.empty()) {
    out_ += ",\"packs_to_delete\":[" + marked_ + "]";
  }
  out_ += "}\n";
  return std::move(out_);
}

namespace {

// Packs in restic's exact form.
class FastReader {
 public:
  explicit FastReader(std::string_view text) : cursor_(text) {}

  // False when something is in another form; `packs()` of them have then been handed over.
  bool read(const OnIndexedPack& on_pack) {
    if (!cursor_.take("{\"packs\":[")) {
      return false;
    }
    if (!cursor_.sees("]")) {
      do {
        PackId id;
        if (!read_pack(id)) {
          return false;
        }
        on_pack(id, blobs_);
        ++packs_;
      } while (cursor_.take(","));
    }
    return cursor_.take("]}\n") && cursor_.done();
  }

  [[nodiscard]] size_t packs() const { return packs_; }

 private:
  bool read_pack(PackId& id) {
    Digest digest;
    if (!cursor_.take("{\"id\":\"") || !cursor_.take_id(digest) ||
        !cursor_.take("\",\"blobs\":[")) {
      return false;
    }
    id = PackId(digest);
    blobs_.clear();
    if (!cursor_.sees("]")) {
      do {
        if (!read_blob(blobs_.emplace_back())) {
          return false;
        }
      } while (cursor_.take(","));
    }
    return cursor_.take("]}");
  }

  bool read_blob(PackedBlob& blob) {
    Digest digest;
    if (!cursor_.take("{\"id\":\"") || !cursor_.take_id(digest)) {
      return false;
    }
    blob.handle.id = BlobId(digest);
    if (cursor_.take("\",\"type\":\"data\",\"offset\":")) {
      blob.handle.type = BlobType::kData;
    } else if (cursor_.take("\",\"type\":\"tree\",\"offset\":")) {
      blob.handle.type = BlobType::kTree;
    } else {
      return false;
    }
    return cursor_.take_number(blob.offset) && cursor_.take(",\"length\":") &&
           cursor_.take_number(blob.length) &&
           (!cursor_.take(",\"uncompressed_length\":") || cursor_.take_number(blob.plain_length)) &&
           cursor_.take("}") && plausible(blob);
  }

  TextCursor cursor_;
  std::vector<PackedBlob> blobs_;
  size_t packs_ = 0;
};

MarkedPack read_pack(json_reader::Object object) {
  MarkedPack pack;
  bool has_id = false;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "id") {
      pack.id = json_reader::read_id<PackId>(value);
      has_id = true;
    } else if (key == "blobs") {
      pack.blobs.clear();
      for (auto item : value.get_array()) {
        pack.blobs.push_back(read_blob(item.get_object()));
      }
    } else if (key == "time") {
      // A time that nobody understands is one that is not known: it must not cost the index.
      if (auto text = value.get_raw_json_string(); !text.error()) {
        pack.time = parse_go_time(json_reader::quoted_text(text.value().raw()));
      }
    }
  });
  if (!has_id) {
    fail("pack without id");
  }
  return pack;
}

// Any JSON that means an index. The first `skip` packs are not handed over.
void read_any_form(ByteView json, size_t skip, const OnIndexedPack& on_pack,
                   const OnMarkedPack& on_marked) {
  json_reader::Reader reader;
  auto document = reader.open(json, kMaxIndexBytes);
  bool found = false;
  for (auto top : document.get_object()) {
    const std::string_view key = json_reader::quoted_text(top.key().value().raw());
    const bool listed = key == "packs";
    if (!listed && (key != "packs_to_delete" || !on_marked)) {
      continue;
    }
    found = found || listed;
    Value packs = top.value();
    if (packs.is_null()) {
      continue;
    }
    for (auto element : packs.get_array()) {
      MarkedPack pack = read_pack(element.get_object());
      if (!listed) {
        on_marked(std::move(pack));
      } else if (skip > 0) {
        --skip;
      } else {
        on_pack(pack.id, pack.blobs);
      }
    }
  }
  if (!found) {
    fail("no packs");
  }
  reader.close(document);
}

}  // namespace

void decode_index(ByteView json, const OnIndexedPack& on_pack, const OnMarkedPack& on_marked) {
  json_reader::guard("index", [&] {
    if (json.size() > kMaxIndexBytes) {
      fail("larger than the limit");
    }
    FastReader fast(as_text(json));
    if (!fast.read(on_pack)) {
      read_any_form(json, fast.packs(), on_pack, on_marked);
    }
  });
}

void decode_index_any_form(ByteView json, const OnIndexedPack& on_pack,
                           const OnMarkedPack& on_marked) {
  json_reader::guard("index", [&] { read_any_form(json, 0, on_pack, on_marked); });
}

}  // namespace salvor
