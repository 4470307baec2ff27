#include "engine/restore/file_writer.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/profile.h"

namespace salvor {
namespace {

// These end the run: every further file would fail in the same way.
bool is_fatal(const Error& error) {
  return error.code() == ErrorCode::kStorageFull || error.code() == ErrorCode::kCancelled;
}

// Whoever is the last to let it go closes it, maybe while it writes to another file: what the file
// system says then is kept for this one.
struct WrittenFd {
  WrittenFd(UniqueFd opened, RestoreFile& written) : fd(std::move(opened)), file(written) {}
  ~WrittenFd() {
    if (const int error = fd.try_close(); error != 0) {
      file.close_error = error;
    }
  }
  WrittenFd(const WrittenFd&) = delete;
  WrittenFd& operator=(const WrittenFd&) = delete;

  UniqueFd fd;
  RestoreFile& file;
};

SharedFd share(UniqueFd fd, RestoreFile& file) {
  const auto written = std::make_shared<WrittenFd>(std::move(fd), file);
  return {written, &written->fd};
}

// The time of the snapshot would tell the next run that the content is there.
void set_present_time(const RestoreFile& file) {
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                             {.tv_sec = 0, .tv_nsec = UTIME_NOW}};
  try {
    const SharedFd directory = file.directory->handle->open();
    static_cast<void>(
        utimensat(directory->get(), file.node.name.c_str(), times, AT_SYMLINK_NOFOLLOW));
  } catch (const Error&) {
    // The file is reported anyway.
  }
}

bool is_zero(ByteView bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

void for_each_nonzero(uint64_t offset, ByteView bytes,
                      const std::function<void(size_t begin, size_t length)>& piece) {
  constexpr uint64_t kBlock = 4096;
  size_t at = 0;
  size_t data_begin = 0;
  while (at < bytes.size()) {
    const uint64_t in_block = (offset + at) % kBlock;
    const size_t length = std::min<size_t>(kBlock - in_block, bytes.size() - at);
    if (is_zero(bytes.subspan(at, length))) {
      if (at > data_begin) {
        piece(data_begin, at - data_begin);
      }
      data_begin = at + length;
    }
    at += length;
  }
  if (data_begin < bytes.size()) {
    piece(data_begin, bytes.size() - data_begin);
  }
}

bool FileWriter::may_have_attributes(RestoreFile& file, int directory) {
  int known = file.directory->passes_on_attributes.load(std::memory_order_relaxed);
  if (known < 0) {
    known = FilesTarget::passes_on_attributes(directory) ? 1 : 0;
    file.directory->passes_on_attributes.store(known, std::memory_order_relaxed);
  }
  return known != 0;
}

void FileWriter::put(RestoreFile& file, int fd, uint64_t offset, ByteView bytes) {
  const StageTimer timer(context_.profile, Stage::kWrite, bytes.size());
  const std::string_view what = file.node.name;
  if (!options_.sparse || file.in_place()) {
    pwrite_full(fd, bytes, offset, what);
    progress_.bytes_written += bytes.size();
    return;
  }
  for_each_nonzero(offset, bytes, [&](size_t begin, size_t length) {
    pwrite_full(fd, bytes.subspan(begin, length), offset + begin, what);
    progress_.bytes_written += length;
  });
}

void FileWriter::write(RestoreFile& file, uint64_t offset, ByteView bytes) {
  const bool only_blob = !file.in_place() && file.node.content.size() == 1;
  if (only_blob) {
    write_whole(file, bytes);
    return;
  }
  if (!file.unwritable.load(std::memory_order_relaxed)) {
    try {
      const SharedFd fd = open(file);
      put(file, fd->get(), offset, bytes);
    } catch (const Error& error) {
      file.unwritable = true;
      note_failure(file, error);
    }
  }
  progress_.bytes_restored += bytes.size();
  blob_done(file);
}

void FileWriter::lose(RestoreFile& file, const Error& error) {
  note_failure(file, error);
  blob_done(file);
}

// Most files: one blob. Created, written, given its metadata and closed in one go.
void FileWriter::write_whole(RestoreFile& file, ByteView bytes) {
  try {
    const SharedFd directory = file.directory->handle->open();
    UniqueFd fd = target_.create_file(directory->get(), file.node.name);
    put(file, fd.get(), 0, bytes);
    progress_.bytes_restored += bytes.size();
    complete(file, fd.get());
    close(file, std::move(fd));
    succeeded(file);
  } catch (const Error& error) {
    note_failure(file, error);
    report(file);
  }
  file.remaining.store(0, std::memory_order_relaxed);
}

SharedFd FileWriter::open(RestoreFile& file) {
  const std::scoped_lock lock(lock_of(file));
  if (file.fd) {
    return file.fd;
  }
  const SharedFd directory = file.directory->handle->open();
  UniqueFd fd;
  struct stat stat{};
  if (file.opened || file.in_place()) {
    // Only the very file that was looked at or created before: somebody may have put another there.
    stat.st_mode = 0600;
    stat.st_dev = file.opened ? file.identity.device : file.existing->st_dev;
    stat.st_ino = file.opened ? file.identity.inode : file.existing->st_ino;
    fd = target_.open_existing(directory->get(), file.node.name, FilesTarget::Purpose::kWriting,
                               stat);
    if (!fd) {
      throw Error(ErrorCode::kFailed, "it was replaced or removed while it was being restored");
    }
  } else {
    fd = target_.create_file(directory->get(), file.node.name);
    if (fstat(fd.get(), &stat) != 0) {
      throw Error::from_errno(errno, "cannot look at it");
    }
  }
  file.opened = true;
  file.identity = {stat.st_dev, stat.st_ino};
  file.fd = share(std::move(fd), file);
  keep_open(file);
  return file.fd;
}

// The caller holds the file's lock; evicting another file takes that one's, so it happens only by
// try_lock.
void FileWriter::keep_open(RestoreFile& file) {
  const std::scoped_lock lock(open_mutex_);
  open_files_.push_back(&file);
  if (open_files_.size() <= kOpenFiles) {
    return;
  }
  RestoreFile* const oldest = open_files_.front();
  open_files_.pop_front();
  std::mutex& mutex = lock_of(*oldest);
  if (&mutex == &lock_of(file)) {
    if (oldest != &file) {
      oldest->fd.reset();
    }
    return;
  }
  if (mutex.try_lock()) {
    oldest->fd.reset();  // closes once the threads that are writing to it are done
    mutex.unlock();
  } else {
    open_files_.push_back(oldest);
  }
}

void FileWriter::blob_done(RestoreFile& file) {
  if (file.remaining.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    finish(file);
  }
}

// Size and metadata, or of a file that has lost something its size.
void FileWriter::finish_content(RestoreFile& file) {
  // A file that has lost every blob may never have been opened; an empty one says least that is
  // false.
  if (file.failed.load() && !file.opened) {
    return;
  }
  const SharedFd fd = open(file);
  check_closed(file);
  if (!file.failed.load()) {
    complete(file, fd->get());
  } else if (ftruncate(fd->get(), static_cast<off_t>(file.size)) != 0) {
    note_failure(file, Error::from_errno(errno, "cannot set the size"));
  }
}

void FileWriter::finish(RestoreFile& file) {
  try {
    finish_content(file);
  } catch (const Error& error) {
    note_failure(file, error);
  }
  {
    const std::scoped_lock lock(open_mutex_);
    std::erase(open_files_, &file);
  }
  SharedFd last;
  {
    const std::scoped_lock lock(lock_of(file));
    last = std::move(file.fd);
  }
  last.reset();
  try {
    check_closed(file);
  } catch (const Error& error) {
    note_failure(file, error);
  }
  if (file.failed.load()) {
    report(file);
  } else {
    succeeded(file);
  }
}

void FileWriter::finish_unwritten(RestoreFile& file) {
  try {
    const SharedFd directory = file.directory->handle->open();
    UniqueFd fd;
    if (file.in_place()) {
      const auto purpose =
          file.size_matches ? FilesTarget::Purpose::kReading : FilesTarget::Purpose::kWriting;
      fd = target_.open_existing(directory->get(), file.node.name, purpose, *file.existing);
      if (!fd) {
        throw Error(ErrorCode::kFailed, "it was replaced or removed while it was being restored");
      }
    } else {
      fd = target_.create_file(directory->get(), file.node.name);
    }
    complete(file, fd.get());
    close(file, std::move(fd));
    progress_.bytes_restored += file.in_place() ? 0 : file.size;
    succeeded(file);
  } catch (const Error& error) {
    note_failure(file, error);
    report(file);
  }
}

// Size and metadata.
void FileWriter::complete(RestoreFile& file, int fd) {
  const StageTimer timer(context_.profile, Stage::kMetadata);
  const bool written = file.remaining.load(std::memory_order_relaxed) > 0 || file.opened;
  const bool too_long =
      file.in_place() && static_cast<uint64_t>(file.existing->st_size) > file.size;
  const bool holes_at_end = options_.sparse && !file.in_place() && file.size > 0;
  if ((too_long || holes_at_end) && ftruncate(fd, static_cast<off_t>(file.size)) != 0) {
    throw Error::from_errno(errno, "cannot set the size");
  }
  bool attributes = true;
  if (!file.in_place()) {
    const int known = file.directory->passes_on_attributes.load(std::memory_order_relaxed);
    attributes =
        known < 0 ? may_have_attributes(file, file.directory->handle->open()->get()) : known != 0;
  }
  // Writing moves the modification time, so what was seen before holds only for untouched files.
  const bool untouched = file.in_place() && !written && !too_long;
  struct stat now{};
  const bool known = untouched && fstat(fd, &now) == 0;
  target_.apply(fd, file.node, {.now = known ? &now : nullptr, .may_have_attributes = attributes});
}

void FileWriter::close(RestoreFile& file, UniqueFd fd) {
  file.close_error = fd.try_close();
  check_closed(file);
}

// Throws what the file system said when the file was closed, if only for a while.
void FileWriter::check_closed(RestoreFile& file) {
  if (const int error = file.close_error; error != 0) {
    set_present_time(file);
    throw Error::from_errno(error, "cannot write it");
  }
}

void FileWriter::note_failure(RestoreFile& file, const Error& error) {
  if (is_fatal(error)) {
    Error with_place = error;
    throw with_place.within("cannot restore " + file.location());
  }
  const std::scoped_lock lock(lock_of(file));
  if (!file.failed.exchange(true)) {
    file.failure = error.message();
    file.failure_hint = error.hint();
  }
}

void FileWriter::report(RestoreFile& file) {
  if (file.linked) {
    file.linked->failed = true;
  }
  ++progress_.errors;
  context_.events.on(ItemFailed{"restore", file.location(), file.failure, file.failure_hint});
}

void FileWriter::succeeded(RestoreFile& file) {
  ++progress_.files_restored;
  if (context_.events.wants_items()) {
    const char* action = "restored";
    if (file.in_place()) {
      action = file.opened || !file.size_matches ? "updated" : "unchanged";
    }
    context_.events.on(ItemHandled{action, file.location(), "file", file.size, 0});
  }
}

}  // namespace salvor
