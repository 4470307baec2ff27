#include "codec/archive_writer.h"

#include <clocale>
#include <exception>
#include <map>
#include <string>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/format.h"
#include "base/late_library.h"
#include "model/unix_mode.h"

// libarchive converts names from the locale's character set to UTF-8. Ours are raw bytes,
// practically always UTF-8, whatever the process's locale; so its calls run under C.UTF-8, set for
// this thread only. A name that is not UTF-8 makes it store raw bytes and say so in the entry's
// header, which is right.

namespace salvor {
namespace {

LateLibrary libarchive{"libarchive.so.13", "libarchive13"};
SALVOR_LATE(libarchive, archive_entry_free);
SALVOR_LATE(libarchive, archive_entry_new);
SALVOR_LATE(libarchive, archive_entry_set_atime);
SALVOR_LATE(libarchive, archive_entry_set_ctime);
SALVOR_LATE(libarchive, archive_entry_set_gid);
SALVOR_LATE(libarchive, archive_entry_set_gname);
SALVOR_LATE(libarchive, archive_entry_set_hardlink);
SALVOR_LATE(libarchive, archive_entry_set_mode);
SALVOR_LATE(libarchive, archive_entry_set_mtime);
SALVOR_LATE(libarchive, archive_entry_set_pathname);
SALVOR_LATE(libarchive, archive_entry_set_rdev);
SALVOR_LATE(libarchive, archive_entry_set_size);
SALVOR_LATE(libarchive, archive_entry_set_symlink);
SALVOR_LATE(libarchive, archive_entry_set_uid);
SALVOR_LATE(libarchive, archive_entry_set_uname);
SALVOR_LATE(libarchive, archive_entry_xattr_add_entry);
SALVOR_LATE(libarchive, archive_error_string);
SALVOR_LATE(libarchive, archive_write_add_filter_none);
SALVOR_LATE(libarchive, archive_write_close);
SALVOR_LATE(libarchive, archive_write_data);
SALVOR_LATE(libarchive, archive_write_finish_entry);
SALVOR_LATE(libarchive, archive_write_free);
SALVOR_LATE(libarchive, archive_write_header);
SALVOR_LATE(libarchive, archive_write_new);
SALVOR_LATE(libarchive, archive_write_open);
SALVOR_LATE(libarchive, archive_write_set_bytes_in_last_block);
SALVOR_LATE(libarchive, archive_write_set_bytes_per_block);
SALVOR_LATE(libarchive, archive_write_set_format_pax);
SALVOR_LATE(libarchive, archive_write_set_format_zip);
SALVOR_LATE(libarchive, archive_write_set_options);

constexpr int kTarRecord = 10240;  // what every tar pads its output to
constexpr int kBlock = 8 * kTarRecord;

class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {}
  ~Utf8Locale() {
    if (locale_ != nullptr) {
      freelocale(locale_);
    }
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

  // Nothing changes where the system has no C.UTF-8.
  class Scope {
   public:
    explicit Scope(const Utf8Locale& locale)
        : old_(locale.locale_ != nullptr ? uselocale(locale.locale_) : nullptr) {}
    ~Scope() {
      if (old_ != nullptr) {
        uselocale(old_);
      }
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    locale_t old_;
  };

 private:
  locale_t locale_;
};

bool can_hold(ArchiveFormat format, NodeType type) {
  if (format == ArchiveFormat::kZip) {
    return type == NodeType::kFile || type == NodeType::kDir || type == NodeType::kSymlink;
  }
  return type != NodeType::kSocket && type != NodeType::kOther;
}

// A file that may be met again under another name. Equal inode numbers are not enough: two file
// systems may have had the same device number at different times.
struct FileKey {
  uint64_t device;
  uint64_t inode;
  uint64_t size;
  uint64_t content;  // of the ids
  friend auto operator<=>(const FileKey&, const FileKey&) = default;
};

FileKey key_of(const Node& node) {
  uint64_t content = 0;
  for (const BlobId& id : node.content) {
    content = content * 0x9e3779b97f4a7c15U + id.hash();
  }
  return {node.device_id, node.inode, node.size, content};
}

using EntryPointer = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

EntryPointer make_entry(const Node& node, const std::string& path) {
  EntryPointer entry(archive_entry_new(), archive_entry_free);
  if (!entry) {
    throw std::bad_alloc();
  }
  archive_entry* const e = entry.get();
  archive_entry_set_pathname(e, path.c_str());
  archive_entry_set_mode(e, unix_type_bits(node.type) | unix_permissions_from_go(node.mode));
  archive_entry_set_mtime(e, node.mtime.seconds, static_cast<long>(node.mtime.nanoseconds));
  archive_entry_set_atime(e, node.atime.seconds, static_cast<long>(node.atime.nanoseconds));
  archive_entry_set_ctime(e, node.ctime.seconds, static_cast<long>(node.ctime.nanoseconds));
  archive_entry_set_uid(e, node.uid);
  archive_entry_set_gid(e, node.gid);
  archive_entry_set_uname(e, node.user.c_str());
  archive_entry_set_gname(e, node.group.c_str());
  archive_entry_set_size(e, node.type == NodeType::kFile ? static_cast<int64_t>(node.size) : 0);
  if (node.type == NodeType::kSymlink) {
    archive_entry_set_symlink(e, node.link_target.c_str());
  }
  if (node.type == NodeType::kDevice || node.type == NodeType::kCharDevice) {
    archive_entry_set_rdev(e, node.device);
  }
  for (const ExtendedAttribute& attribute : node.extended_attributes) {
    archive_entry_xattr_add_entry(e, attribute.name.c_str(), attribute.value.data(),
                                  attribute.value.size());
  }
  return entry;
}

}  // namespace

struct ArchiveWriter::State {
  ArchiveFormat format;
  Sink sink;
  Utf8Locale locale;
  std::unique_ptr<archive, int (*)(archive*)> writer{archive_write_new(), archive_write_free};
  std::exception_ptr sink_error;
  bool discard = false;  // nothing more goes to the sink
  bool finished = false;
  std::map<FileKey, std::string> linked;  // files with several links -> path in the archive

  State(ArchiveFormat wanted, Sink to) : format(wanted), sink(std::move(to)) {
    if (!writer) {
      throw std::bad_alloc();
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    // Freeing the writer makes it write an end that would look whole.
    discard = discard || !finished;
    writer.reset();
  }

  void open() {
    const Utf8Locale::Scope scope(locale);
    archive* const a = writer.get();
    if (format == ArchiveFormat::kTar) {
      check(archive_write_set_format_pax(a), "tar");
      check(archive_write_set_options(a, "xattrheader=SCHILY"), "tar");  // what GNU tar reads
    } else {
      check(archive_write_set_format_zip(a), "zip");
      check(archive_write_set_options(a, "hdrcharset=UTF-8"), "zip");
    }
    check(archive_write_add_filter_none(a), "filter");
    check(archive_write_set_bytes_per_block(a, kBlock), "block size");
    check(archive_write_set_bytes_in_last_block(a, format == ArchiveFormat::kTar ? kTarRecord : 1),
          "block size");
    check(archive_write_open(a, this, nullptr, write_callback, nullptr), "archive");
  }

  // No exception may cross libarchive's C frames: it waits in `sink_error` until they are left.
  static la_ssize_t write_callback(archive* /*writer*/, void* self, const void* data, size_t size) {
    auto* const state = static_cast<State*>(self);
    if (!state->discard) {
      try {
        state->sink({static_cast<const std::byte*>(data), size});
      } catch (...) {
        state->sink_error = std::current_exception();
        state->discard = true;
      }
    }
    // What is discarded must fail in tar, or it would pad a broken file to its full size, and must
    // pass in zip, or libarchive would not free its compressor.
    return state->discard && state->format == ArchiveFormat::kTar ? -1
                                                                  : static_cast<la_ssize_t>(size);
  }

  // Warnings are about names that are not UTF-8, see above.
  void check(la_ssize_t result, std::string_view what) {
    if (sink_error) {
      std::rethrow_exception(std::exchange(sink_error, nullptr));
    }
    if (result < ARCHIVE_WARN) {
      const char* const reason = archive_error_string(writer.get());
      throw Error(ErrorCode::kFailed, "cannot write " + printable(what) + " to the archive: " +
                                          (reason != nullptr ? reason : "unknown error"));
    }
  }

  void write_content(const Node& node, const std::string& path, const Content& content) {
    uint64_t done = 0;
    for (ByteView piece = content(); !piece.empty(); piece = content()) {
      done += piece.size();
      if (done > node.size) {
        break;
      }
      while (!piece.empty()) {
        const Utf8Locale::Scope scope(locale);
        const la_ssize_t written = archive_write_data(writer.get(), piece.data(), piece.size());
        check(written > 0 ? ARCHIVE_OK : ARCHIVE_FATAL, path);
        piece = piece.subspan(static_cast<size_t>(written));
      }
    }
    if (done != node.size) {
      throw Error(ErrorCode::kDamaged,
                  printable(path) + " does not have the size that its tree states");
    }
  }

  bool add(const Node& node, std::string_view raw_path, const Content& content) {
    if (!can_hold(format, node.type)) {
      return false;
    }
    raw_path.remove_prefix(std::min(raw_path.find_first_not_of('/'), raw_path.size()));
    if (raw_path.empty()) {
      throw Error(ErrorCode::kFailed, "a node without a path cannot be put into an archive");
    }
    const std::string path(raw_path);
    const EntryPointer entry = make_entry(node, path);
    bool has_content = node.type == NodeType::kFile;
    if (has_content && node.links > 1 && node.inode != 0 && format == ArchiveFormat::kTar) {
      const auto [known, is_new] = linked.try_emplace(key_of(node), path);
      if (!is_new) {
        archive_entry_set_hardlink(entry.get(), known->second.c_str());
        archive_entry_set_size(entry.get(), 0);
        has_content = false;
      }
    }
    {
      const Utf8Locale::Scope scope(locale);
      check(archive_write_header(writer.get(), entry.get()), path);
    }
    if (has_content) {
      write_content(node, path, content);
    }
    const Utf8Locale::Scope scope(locale);
    check(archive_write_finish_entry(writer.get()), path);
    return true;
  }
};

ArchiveWriter::ArchiveWriter(ArchiveFormat format, Sink sink)
    : state_(std::make_unique<State>(format, std::move(sink))) {
  state_->open();
}
ArchiveWriter::~ArchiveWriter() = default;
ArchiveWriter::ArchiveWriter(ArchiveWriter&&) noexcept = default;
ArchiveWriter& ArchiveWriter::operator=(ArchiveWriter&&) noexcept = default;

bool ArchiveWriter::add(const Node& node, std::string_view path, const Content& content) {
  return state_->add(node, path, content);
}

void ArchiveWriter::finish() {
  const Utf8Locale::Scope scope(state_->locale);
  state_->check(archive_write_close(state_->writer.get()), "the end");
  state_->finished = true;
}

}  // namespace salvor
