#include "codec/index_codec.h"

#include "codec/hex.h"
#include "codec/json_reader.h"
#include "codec/json_text.h"

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

PackedBlob read_blob(json_reader::Object object) {
  PackedBlob blob;
  bool has_id = false;
  bool has_type = false;
  for (auto field : object) {
    const std::string_view key = json_reader::quoted_text(field.key().value().raw());
    Value value = field.value();
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
  }
  if (!has_id || !has_type) {
    fail("blob without id or type");
  }
  if (blob.length < kSealOverhead) {
    fail("blob shorter than its seal");
  }
  if (blob.length > UINT32_MAX - blob.offset) {
    fail("blob beyond 4 GiB");
  }
  return blob;
}

}  // namespace

IndexEncoder::IndexEncoder() : out_("{\"packs\":[") {}

void IndexEncoder::add_pack(const PackId& pack, std::span<const PackedBlob> blobs) {
  const size_t old_size = out_.size();
  const size_t bound = kPackBound + blobs.size() * kBlobBound;
  if (out_.capacity() < old_size + bound) {
    out_.reserve(2 * (old_size + bound));
  }
  out_.resize(old_size + bound);
  char* end = out_.data() + old_size;
  if (!empty_) {
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
  end = put_literal(end, "]}");
  out_.resize(static_cast<size_t>(end - out_.data()));
  empty_ = false;
}

std::string IndexEncoder::finish() {
  out_ += "]}\n";
  return std::move(out_);
}

void decode_index(ByteView json,
                  const std::function<void(const PackId&, std::span<const PackedBlob>)>& on_pack) {
  json_reader::guard("index", [&] {
    json_reader::Reader reader;
    auto document = reader.open(json, kMaxIndexBytes);
    std::vector<PackedBlob> blobs;
    bool found = false;
    for (auto top : document.get_object()) {
      if (json_reader::quoted_text(top.key().value().raw()) != "packs") {
        continue;
      }
      found = true;
      Value packs = top.value();
      if (packs.is_null()) {
        continue;
      }
      for (auto element : packs.get_array()) {
        PackId id;
        bool has_id = false;
        blobs.clear();
        for (auto field : element.get_object()) {
          const std::string_view key = json_reader::quoted_text(field.key().value().raw());
          Value value = field.value();
          if (key == "id") {
            id = json_reader::read_id<PackId>(value);
            has_id = true;
          } else if (key == "blobs" && !value.is_null()) {
            blobs.clear();
            for (auto item : value.get_array()) {
              blobs.push_back(read_blob(item.get_object()));
            }
          }
        }
        if (!has_id) {
          fail("pack without id");
        }
        on_pack(id, blobs);
      }
    }
    if (!found) {
      fail("no packs");
    }
    reader.close(document);
  });
}

}  // namespace salvor
