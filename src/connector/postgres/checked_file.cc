#include "connector/postgres/checked_file.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fcntl.h>

#include "crypto/crc32c.h"

namespace salvor::postgres {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;  // whole pages; for readers that want less
constexpr int kTries = 5;
constexpr std::chrono::milliseconds kBetweenTries{20};
constexpr uint64_t kPatience = 10;  // damaged pages of a file for which it is worth to wait

class CheckedReader final : public ByteReader {
 public:
  CheckedReader(UniqueFd file, CheckedFileOptions options, std::shared_ptr<BackupResults> results)
      : file_(std::move(file)),
        options_(std::move(options)),
        results_(std::move(results)),
        relation_(options_.check_pages ? parse_relation_path(options_.path) : std::nullopt) {
    if (options_.size == 0) {
      end();
    }
  }
  ~CheckedReader() override {
    if (!ended_) {
      results_->fail(std::make_exception_ptr(cancelled()));
    }
  }
  CheckedReader(const CheckedReader&) = delete;
  CheckedReader& operator=(const CheckedReader&) = delete;

  size_t read(MutableBytes out) override {
    if (given_ == piece_.size()) {
      try {
        // Straight to where it is wanted, if that takes whole pages or all there is.
        const uint64_t left = options_.size - position_;
        if (out.size() >= std::min<uint64_t>(left, kPageBytes)) {
          return next_piece(
              out.first(out.size() >= left ? left : out.size() / kPageBytes * kPageBytes));
        }
        piece_.resize(std::min<uint64_t>(kPieceBytes, left));
        given_ = 0;
        next_piece(piece_.bytes());
      } catch (...) {
        results_->fail(std::current_exception());
        throw;
      }
    }
    const size_t part = std::min(out.size(), piece_.size() - given_);
    if (part > 0) {
      std::memcpy(out.data(), piece_.data() + given_, part);
    }
    given_ += part;
    return part;
  }
  void refresh(Node& node) override { (void)node; }
  bool changed_since_refresh() override { return false; }

 private:
  // Reads all of `out`, which begins with a page and goes no further than the file. Returns how
  // much.
  size_t next_piece(MutableBytes out) {
    if (out.empty()) {
      return 0;
    }
    const size_t got = pread_full(file_.get(), out, position_, options_.path);
    std::fill(out.begin() + static_cast<ptrdiff_t>(got), out.end(), std::byte{});
    if (relation_) {
      for (size_t at = 0; at + kPageBytes <= got; at += kPageBytes) {
        check(*relation_, out.subspan(at, kPageBytes), position_ + at);
      }
    }
    crc_.update(out);
    position_ += out.size();
    if (position_ == options_.size) {
      end();
    }
    return out.size();
  }

  void check(const RelationFile& relation, MutableBytes page, uint64_t offset) {
    const uint32_t block = relation.first_block() + static_cast<uint32_t>(offset / kPageBytes);
    for (int attempt = 1; judge_page(page, block, options_.start) == PageVerdict::kDamaged;
         ++attempt) {
      if (attempt > kTries) {
        ++damaged_;
        results_->add_damage(options_.path, relation, block);
        return;
      }
      if (damaged_ < kPatience) {
        std::this_thread::sleep_for(kBetweenTries);
      }
      const size_t got = pread_full(file_.get(), page, offset, options_.path);
      std::fill(page.begin() + static_cast<ptrdiff_t>(got), page.end(), std::byte{});
    }
  }

  void end() {
    ended_ = true;
    results_->set(options_.path, {.size = options_.size, .crc = crc_.value()});
  }

  const UniqueFd file_;
  const CheckedFileOptions options_;
  const std::shared_ptr<BackupResults> results_;
  const std::optional<RelationFile> relation_;
  uint64_t position_ = 0;  // of what is read next
  Buffer piece_;
  size_t given_ = 0;  // of the piece
  Crc32c crc_;
  uint64_t damaged_ = 0;
  bool ended_ = false;
};

}  // namespace

CheckedFile::CheckedFile(UniqueFd file, CheckedFileOptions options,
                         std::shared_ptr<BackupResults> results)
    : file_(std::move(file)), options_(std::move(options)), results_(std::move(results)) {
  static_cast<void>(::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
}

CheckedFile::~CheckedFile() {
  if (file_) {
    results_->fail(std::make_exception_ptr(cancelled()));
  }
}

std::unique_ptr<ByteReader> CheckedFile::open(const Node& node) {
  (void)node;
  if (!file_) {
    throw Error(ErrorCode::kFailed, path_of(node) + " was opened twice");
  }
  return std::make_unique<CheckedReader>(std::move(file_), options_, results_);
}

std::string CheckedFile::path_of(const Node& node) const {
  (void)node;
  return "/" + options_.path;
}

}  // namespace salvor::postgres
