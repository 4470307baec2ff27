#include "connector/postgres/incremental_file.h"

#include <algorithm>

#include "connector/postgres/page_parts.h"

namespace salvor::postgres {
namespace {

constexpr uint32_t kMagic = 0xd3ae1f0d;
constexpr size_t kHeaderWords = 3;

[[noreturn]] void bad(const std::string& what) {
  throw Error(ErrorCode::kDamaged, "an incremental file is not as servers make it: " + what,
              "No snapshot was made. Run the backup again with --full, and please report this.");
}

void read_exactly(ByteReader& reader, MutableBytes out) {
  while (!out.empty()) {
    const size_t got = reader.read(out);
    if (got == 0) {
      bad("it ends early");
    }
    out = out.subspan(got);
  }
}

uint64_t total(const std::vector<PartReader::Part>& parts) {
  uint64_t sum = 0;
  for (const PartReader::Part& part : parts) {
    sum += part.size;
  }
  return sum;
}

}  // namespace

IncrementalHeader read_incremental_header(ByteReader& reader) {
  std::byte words[kHeaderWords * 4];
  read_exactly(reader, words);
  const uint32_t count = load_u32le(words + 4);
  IncrementalHeader header;
  header.truncation = load_u32le(words + 8);
  if (load_u32le(words) != kMagic) {
    bad("its magic number is wrong");
  }
  if (count > kSegmentPages) {
    bad("it has more blocks than a file can have");
  }
  header.truncation = std::min(header.truncation, kSegmentPages);
  Buffer numbers(size_t{count} * 4);
  read_exactly(reader, numbers.bytes());
  header.blocks.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const uint32_t block = load_u32le(numbers.data() + i * 4);
    if (block >= kSegmentPages || (i > 0 && block <= header.blocks.back())) {
      bad("its blocks are not in order");
    }
    header.blocks.push_back(block);
  }
  if (count > 0) {
    const size_t over = (sizeof words + numbers.size()) % kPageBytes;
    Buffer padding(over == 0 ? 0 : kPageBytes - over);
    read_exactly(reader, padding.bytes());
  }
  return header;
}

RebuiltParts::RebuiltParts(const Context& context, std::unique_ptr<ByteReader> reader,
                           const EarlierFiles& files, EarlierFile earlier, RebuildOptions options)
    : context_(context),
      reader_(std::move(reader)),
      earlier_(earlier),
      options_(std::move(options)),
      old_(files.parts(*earlier.node)),
      old_size_(total(old_)),
      header_(read_incremental_header(*reader_)),
      size_(uint64_t{header_.length()} * kPageBytes),
      kept_(std::min(old_size_, uint64_t{header_.truncation} * kPageBytes)),
      blobs_(files.blobs(context_, old_blobs())) {}

// Those that will be read.
std::vector<BlobId> RebuiltParts::old_blobs() const {
  std::vector<BlobId> blobs;
  auto block = header_.blocks.begin();
  uint64_t end = 0;
  for (const Part& part : old_) {
    end += part.size;
    const auto behind =
        std::lower_bound(block, header_.blocks.end(), (end + kPageBytes - 1) / kPageBytes);
    if (end > kept_ || behind != block) {
      blobs.push_back(*part.stored);
    }
    block = behind;
  }
  return blobs;
}

// Whether something before `end`, of what has not been given out yet, differs or may differ.
bool RebuiltParts::touched(uint64_t end) const {
  return end > kept_ ||
         (block_ < header_.blocks.size() && uint64_t{header_.blocks[block_]} * kPageBytes < end);
}

Buffer RebuiltParts::read_old(const Part& part) const {
  try {
    Buffer old = blobs_->read(*part.stored);
    if (old.size() != part.size) {
      throw Error(ErrorCode::kDamaged, "a blob has another length than the index says");
    }
    return old;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
    throw EarlierUnreadable(error.code(), error.message(), error.hint());
  }
}

// Makes [begin, end) of the new file, of which `old` holds the beginning, and divides it into
// parts.
void RebuiltParts::rebuild(uint64_t begin, uint64_t end, ByteView old) {
  pending_.clear();
  given_ = 0;
  std::vector<uint32_t> dirty;
  for (uint64_t at = begin; at < end; at += kPageBytes) {
    const MutableBytes page = pending_.extend(kPageBytes);
    const auto number = static_cast<uint32_t>(at / kPageBytes);
    if (block_ < header_.blocks.size() && header_.blocks[block_] == number) {
      read_exactly(*reader_, page);
      ++block_;
      if (options_.on_page) {
        options_.on_page(number, page);
      }
    } else if (at < kept_) {
      std::memcpy(page.data(), old.data() + (at - begin), kPageBytes);
      continue;
    } else {
      std::memset(page.data(), 0, kPageBytes);
    }
    dirty.push_back(number);
  }
  sizes_ = divide(begin, end, options_.cell, dirty);
  std::reverse(sizes_.begin(), sizes_.end());
  const uint64_t changed = std::min(end, kept_) > begin ? std::min(end, kept_) - begin : 0;
  crc_change_ ^= crc32c_append(crc32c(old.first(changed)) ^ crc32c(pending_.view(0, changed)),
                               kept_ - begin - changed);
  crc_added_.update(pending_.view().subspan(changed));
}

std::optional<PartReader::Part> RebuiltParts::next(Buffer& bytes) {
  for (;;) {
    if (!sizes_.empty()) {
      const uint64_t size = sizes_.back();
      sizes_.pop_back();
      bytes.append(pending_.view(given_, size));
      given_ += size;
      return Part{.size = size, .stored = {}};
    }
    context_.check_stopped();
    if (part_ < old_.size()) {
      const Part& part = old_[part_++];
      const uint64_t begin = position_;
      const uint64_t end = begin + part.size;
      position_ = end;
      if (!touched(end)) {
        return part;
      }
      const Buffer old = read_old(part);
      if (end > kept_) {
        crc_removed_.update(old.view().subspan(begin > kept_ ? 0 : kept_ - begin));
      }
      if (begin < size_) {
        rebuild(begin, std::min(end, size_), old.view());
      }
      continue;
    }
    if (position_ >= size_) {
      end();
      return std::nullopt;
    }
    const uint64_t begin = position_;
    position_ = std::min(size_, (begin / options_.cell + 1) * options_.cell);
    rebuild(begin, position_, {});
  }
}

void RebuiltParts::end() {
  if (ended_) {
    return;
  }
  ended_ = true;
  std::byte more{};
  if (block_ != header_.blocks.size() || reader_->read({&more, 1}) != 0) {
    bad("it holds other blocks than it lists");
  }
  uint32_t crc = earlier_.crc;
  const uint64_t removed = old_size_ - kept_;
  crc = crc32c_remove(crc ^ (removed == 0 ? 0 : crc_removed_.value()), removed);
  crc ^= crc_change_;
  const uint64_t added = size_ - std::min(size_, kept_);
  if (added > 0) {
    crc = crc32c_append(crc, added) ^ crc_added_.value();
  }
  options_.on_end({.size = size_, .crc = crc});
}

}  // namespace salvor::postgres
