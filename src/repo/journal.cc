#include "repo/journal.h"

#include <algorithm>

#include "codec/zstd.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

// The sealed text, little endian. Do not change: it is on disk.
//   magic "SJ01" | flags u32 (1: zstd) | content size u64 | SHA-256 of the content | name length
//   u32 | name | payload
constexpr std::string_view kMagic = "SJ01";
constexpr uint32_t kCompressed = 1;
constexpr size_t kFixedBytes = 4 + 4 + 8 + 32 + 4;
constexpr size_t kSizeAt = 8;
constexpr size_t kHashAt = 16;
constexpr size_t kNameLengthAt = 48;
// Journals must keep up with their servers.
constexpr int kLevel = 1;

bool equal(ByteView left, ByteView right) {
  return left.size() == right.size() &&
         (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
}

// Into `scratch.plain`.
void encode(const std::string& name, ByteView content, const Digest& hash,
            JournalScratch& scratch) {
  Buffer& compressed = scratch.compressed;
  const bool pays = !scratch.compressor.looks_incompressible(content);
  if (pays) {
    scratch.compressor.compress(content, kLevel, compressed);
  }
  const bool use = pays && compressed.size() < content.size();
  Buffer& plain = scratch.plain;
  plain.clear();
  plain.reserve(kFixedBytes + name.size() + (use ? compressed.size() : content.size()));
  plain.append(kMagic);
  store_u32le(plain.extend(4).data(), use ? kCompressed : 0);
  const uint64_t size = content.size();
  plain.append(ByteView(reinterpret_cast<const std::byte*>(&size), sizeof size));
  plain.append(ByteView(hash));
  store_u32le(plain.extend(4).data(), static_cast<uint32_t>(name.size()));
  plain.append(name);
  plain.append(use ? compressed.view() : content);
}

[[noreturn]] void damaged(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::kDamaged, "journal object " + name + " is damaged: " + what,
              "Restore it from another copy of the repository. Until then this part of the journal "
              "cannot be "
              "used.");
}

struct Decoded {
  uint64_t size = 0;
  ByteView hash;
  bool compressed = false;
  ByteView payload;
};

Decoded parse(const std::string& name, ByteView plain) {
  if (plain.size() < kFixedBytes || as_text(plain.first(4)) != kMagic) {
    damaged(name, "it is not one");
  }
  Decoded decoded;
  std::memcpy(&decoded.size, plain.data() + kSizeAt, sizeof decoded.size);
  const uint32_t name_length = load_u32le(plain.data() + kNameLengthAt);
  if (decoded.size > kJournalContentLimit || name_length > plain.size() - kFixedBytes) {
    damaged(name, "its lengths are impossible");
  }
  if (as_text(plain.subspan(kFixedBytes, name_length)) != name) {
    damaged(name, "it is another object under this name");
  }
  decoded.hash = plain.subspan(kHashAt, sizeof(Digest));
  decoded.compressed = (load_u32le(plain.data() + 4) & kCompressed) != 0;
  decoded.payload = plain.subspan(kFixedBytes + name_length);
  return decoded;
}

Buffer decode(const std::string& name, ByteView plain) {
  const Decoded decoded = parse(name, plain);
  Buffer content;
  if (decoded.compressed) {
    content.resize(decoded.size);
    Decompressor decompressor;
    if (!decompressor.decompress(decoded.payload, content.bytes())) {
      damaged(name, "it cannot be decompressed");
    }
  } else {
    content = Buffer::copy_of(decoded.payload);
  }
  if (content.size() != decoded.size || !equal(ByteView(sha256(content.view())), decoded.hash)) {
    damaged(name, "its content has another hash");
  }
  return content;
}

// Whether `plain` decodes to `content`, whose hash is `hash`. What is equal has the same hash.
bool decodes_to(const std::string& name, ByteView plain, ByteView content, const Digest& hash,
                Decompressor& decompressor) {
  const Decoded decoded = parse(name, plain);
  if (decoded.size != content.size() || !equal(decoded.hash, ByteView(hash))) {
    return false;  // its beginning is not what was sealed
  }
  if (!decoded.compressed) {
    return equal(decoded.payload, content);
  }
  size_t done = 0;
  bool same = true;
  const bool whole =
      decompressor.decompress_pieces(decoded.payload, content.size(), [&](ByteView piece) {
        same = same && equal(piece, content.subspan(done, piece.size()));
        done += piece.size();
      });
  return whole && same;
}

}  // namespace

Journal::Journal(const Repository& repository, std::string_view store, std::string_view stream)
    : Journal(repository, "journal/" + std::string(store) + "/" + std::string(stream) + "/") {}

Journal Journal::at(const Repository& repository, std::string prefix) {
  return {repository, std::move(prefix)};
}

Journal::Journal(const Repository& repository, std::string prefix)
    : repository_(repository), prefix_(std::move(prefix)) {
  if (!is_object_name(ObjectKind::kSalvor, prefix_ + "x")) {
    throw Error(ErrorCode::kFailed, "\"" + prefix_ + "\" cannot name a journal");
  }
}

ObjectName Journal::object(std::string_view position) const {
  return {ObjectKind::kSalvor, prefix_ + std::string(position)};
}

JournalPut Journal::put(const Context& context, std::string_view position, ByteView content,
                        JournalScratch& scratch) const {
  return put(context, position, content, sha256(content), scratch);
}

JournalPut Journal::put(const Context& context, std::string_view position, ByteView content,
                        const Digest& hash, JournalScratch& scratch) const {
  const ObjectName name = object(position);
  require_present(context);
  if (content.size() > kJournalContentLimit) {
    throw Error(ErrorCode::kFailed, "journal object " + name.name + " would be larger than 1 GiB");
  }
  Sealer sealer = repository_.make_sealer();
  encode(name.name, content, hash, scratch);
  Buffer& sealed = scratch.sealed;
  sealed.resize(scratch.plain.size() + kSealOverhead);
  sealer.seal(scratch.plain.view(), sealed.bytes());
  // Opened into the place of what was sealed.
  if (!sealer.unseal(sealed.view(), scratch.plain.bytes()) ||
      !decodes_to(name.name, scratch.plain.view(), content, hash, scratch.decompressor)) {
    damaged(name.name, "it did not survive being sealed; this machine's memory may be bad");
  }
  try {
    repository_.storage().put(context, name, sealed.view());
    require_present(context);
    return JournalPut::kStored;
  } catch (const Error& error) {
    // A fresh IV makes every sealing another text, so the storage cannot tell that it is the same.
    // We can.
    if (error.code() != ErrorCode::kFailed || !contains(context, position)) {
      throw;
    }
  }
  const Buffer existing = get(context, position);
  if (sha256(existing.view()) != hash) {
    throw JournalConflict(ErrorCode::kFailed,
                          "another content is stored as " + name.name + " already",
                          "Nothing was overwritten. Two servers may be writing to one archive (a "
                          "clone, or a restored copy that was promoted): give one of them a "
                          "repository of its own, or switch its archiving off.");
  }
  return JournalPut::kExisted;
}

// A directory that was unmounted looks like an empty one, into which everything can be written and
// is lost.
void Journal::require_present(const Context& context) const {
  Storage& storage = repository_.storage();
  if (!storage.traits().remote && !storage.stat(context, {ObjectKind::kConfig, ""})) {
    throw Error(ErrorCode::kUnreachable,
                "the repository is no longer at " + storage.traits().description,
                "Look whether its disk is mounted.");
  }
}

Buffer Journal::get(const Context& context, std::string_view position) const {
  const ObjectName name = object(position);
  // Compression never makes it longer than this.
  Buffer sealed = repository_.storage().get(context, name, kJournalContentLimit + (1U << 20));
  Sealer sealer = repository_.make_sealer();
  const std::optional<Buffer> plain = sealer.unseal(sealed.view());
  if (!plain) {
    damaged(name.name, "its seal is broken");
  }
  return decode(name.name, plain->view());
}

bool Journal::contains(const Context& context, std::string_view position) const {
  return repository_.storage().stat(context, object(position)).has_value();
}

std::vector<JournalEntry> Journal::list(const Context& context, std::string_view beginning) const {
  std::vector<JournalEntry> entries;
  repository_.storage().list_prefix(
      context, ObjectKind::kSalvor, prefix_ + std::string(beginning), [&](const ObjectInfo& info) {
        entries.push_back({info.name.substr(prefix_.size()), info.size_bytes});
      });
  std::sort(entries.begin(), entries.end(),
            [](const JournalEntry& left, const JournalEntry& right) {
              return left.position < right.position;
            });
  return entries;
}

void Journal::remove(const Context& context, std::span<const std::string> positions) const {
  std::vector<ObjectName> objects;
  objects.reserve(positions.size());
  for (const std::string& position : positions) {
    objects.push_back(object(position));
  }
  repository_.storage().remove_many(context, objects);
}

}  // namespace salvor
