#include "connector/postgres/page_parts.h"

#include <algorithm>

namespace salvor::postgres {
namespace {

constexpr uint64_t kSmallestCell = uint64_t{64} << 10;
constexpr uint64_t kLargestCell = uint64_t{1} << 20;
constexpr uint64_t kSmallestCluster = uint64_t{16} << 30;
// A cell with more of its pages changed than one in this many stays whole: dividing it would save
// nothing.
constexpr uint64_t kSparse = 4;

// Bytes 0 to 7 of a page: the high and the low half, each little-endian.
Lsn page_lsn(ByteView page) {
  return {(static_cast<uint64_t>(load_u32le(page.data())) << 32U) | load_u32le(page.data() + 4)};
}

uint64_t dirty_between(const std::vector<uint32_t>& dirty, uint64_t begin, uint64_t end) {
  const auto first = std::lower_bound(dirty.begin(), dirty.end(), begin / kPageBytes);
  const auto last = std::lower_bound(first, dirty.end(), (end + kPageBytes - 1) / kPageBytes);
  return static_cast<uint64_t>(last - first);
}

// [begin, end) lies within the cell of `size` bytes that begins at `cell`.
void divide_cell(uint64_t begin, uint64_t end, uint64_t cell, uint64_t size,
                 const std::vector<uint32_t>& dirty, std::vector<uint64_t>& sizes) {
  if (begin >= end) {
    return;
  }
  const uint64_t changed = dirty_between(dirty, begin, end);
  const uint64_t pages = (end - begin + kPageBytes - 1) / kPageBytes;
  if (changed == 0 || size <= kHotBytes || changed * kSparse > pages) {
    sizes.push_back(end - begin);
    return;
  }
  const uint64_t middle = cell + size / 2;
  divide_cell(begin, std::min(end, middle), cell, size / 2, dirty, sizes);
  divide_cell(std::max(begin, middle), end, middle, size / 2, dirty, sizes);
}

}  // namespace

uint64_t cell_bytes_for(uint64_t cluster_bytes) {
  uint64_t cell = kSmallestCell;
  for (uint64_t limit = kSmallestCluster; cluster_bytes >= limit && cell < kLargestCell;
       limit *= 4) {
    cell *= 2;
  }
  return cell;
}

std::vector<uint64_t> divide(uint64_t begin, uint64_t end, uint64_t cell,
                             const std::vector<uint32_t>& dirty) {
  std::vector<uint64_t> sizes;
  for (uint64_t at = begin / cell * cell; at < end; at += cell) {
    divide_cell(std::max(at, begin), std::min(at + cell, end), at, cell, dirty, sizes);
  }
  return sizes;
}

bool page_aligned(const std::vector<PartReader::Part>& parts) {
  uint64_t end = 0;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    end += parts[i].size;
    if (end % kPageBytes != 0) {
      return false;
    }
  }
  return true;
}

WholeFileParts::WholeFileParts(std::unique_ptr<ByteReader> reader, CuttingRules rules,
                               std::vector<Part> earlier)
    : reader_(std::move(reader)), rules_(rules), earlier_(std::move(earlier)) {
  uint64_t end = 0;
  for (const Part& part : earlier_) {
    end += part.size;
    borders_.push_back(end);
  }
}

// Where the cell that begins at position_ ends; further on where an earlier part reaches over that.
uint64_t WholeFileParts::span_end() {
  const uint64_t end = (position_ / rules_.cell + 1) * rules_.cell;
  const auto over = std::lower_bound(borders_.begin(), borders_.end(), end);
  if (over == borders_.end()) {
    return end;
  }
  const uint64_t begin = over == borders_.begin() ? 0 : *(over - 1);
  return begin < end ? (*over + kPageBytes - 1) / kPageBytes * kPageBytes : end;
}

// The sizes of the parts of what was read from position_ on.
std::vector<uint64_t> WholeFileParts::shape(ByteView span) const {
  const uint64_t begin = position_;
  const uint64_t end = position_ + span.size();
  if (borders_.empty() || begin >= borders_.back()) {
    return divide(begin, end, rules_.cell, {});
  }
  std::vector<uint32_t> dirty;
  bool cold = true;
  for (size_t at = 0; at + kPageBytes <= span.size(); at += kPageBytes) {
    const Lsn lsn = page_lsn(span.subspan(at, kPageBytes));
    if (lsn >= rules_.changed_since) {
      dirty.push_back(static_cast<uint32_t>((begin + at) / kPageBytes));
    }
    cold = cold && lsn < rules_.hot_since;
  }
  if (cold && end - begin <= rules_.cell) {
    return {end - begin};
  }
  std::vector<uint64_t> sizes;
  uint64_t at = begin;
  for (auto border = std::upper_bound(borders_.begin(), borders_.end(), begin); at < end;
       ++border) {
    const uint64_t to = border == borders_.end() ? end : std::min(*border, end);
    if (dirty_between(dirty, at, to) == 0) {
      sizes.push_back(to - at);
    } else {
      for (const uint64_t size : divide(at, to, rules_.cell, dirty)) {
        sizes.push_back(size);
      }
    }
    at = to;
    if (border == borders_.end()) {
      break;
    }
  }
  return sizes;
}

// Appends up to `wanted` bytes; fewer only at the end of the file.
size_t WholeFileParts::fill(Buffer& bytes, uint64_t wanted) {
  const size_t before = bytes.size();
  static_cast<void>(bytes.extend(wanted));
  size_t have = 0;
  while (have < wanted) {
    const size_t got = reader_->read(bytes.bytes().subspan(before + have, wanted - have));
    if (got == 0) {
      break;
    }
    have += got;
  }
  bytes.resize(before + have);
  return have;
}

std::optional<PartReader::Part> WholeFileParts::next(Buffer& bytes) {
  if (!sizes_.empty()) {
    const uint64_t size = sizes_.back();
    sizes_.pop_back();
    bytes.append(pending_.view(given_, size));
    given_ += size;
    return Part{.size = size, .stored = {}};
  }
  const size_t before = bytes.size();
  const size_t got = fill(bytes, span_end() - position_);
  if (got == 0) {
    return std::nullopt;
  }
  sizes_ = shape(bytes.view(before, got));
  position_ += got;
  std::reverse(sizes_.begin(), sizes_.end());
  const uint64_t first = sizes_.back();
  sizes_.pop_back();
  pending_.clear();
  pending_.append(bytes.view(before + first, got - first));
  given_ = 0;
  bytes.resize(before + first);
  return Part{.size = first, .stored = {}};
}

}  // namespace salvor::postgres
