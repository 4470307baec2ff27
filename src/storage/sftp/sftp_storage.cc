// Round trips are what costs here, so everything that does not depend on an answer is asked
// together, and the answers are awaited together (SftpRound). A put takes three rounds:
//
//   1. look whether the object is there; create the temporary file; open the directory
//   2. all the bytes; fsync; close
//   3. rename to the final name, unless that exists; fsync the directory; close it
//
// The steps of a round may be sent at once because a server carries out what concerns one file or
// handle in the order of the requests (draft, section 6). Round 3 must wait for round 2: what could
// not be written must not get its name.
#include "storage/sftp/sftp_storage.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "base/format.h"
#include "storage/layout.h"
#include "storage/sftp/sftp_pool.h"
#include "storage/sftp/sftp_round.h"

namespace salvor {
namespace {

constexpr std::chrono::milliseconds kTidyUp{5000};
// Whoever lists the index moves packs next, several at a time.
constexpr unsigned kReadyForPacks = 4;

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

class SftpStorage final : public Storage {
 public:
  explicit SftpStorage(SftpSettings settings) : pool_(std::move(settings)) {}

  using Storage::put;
  void create(const Context& context) override;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override {
    remove_many(context, std::span<const ObjectName>(&object, 1));
  }
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  std::vector<Leftover> leftovers(const Context& context, std::chrono::seconds age) override;
  void remove_leftovers(const Context& context, std::span<const Leftover> leftovers) override;
  std::optional<StorageSpace> space(const Context& context) override;
  [[nodiscard]] StorageTraits traits() const override {
    const SftpSettings& settings = pool_.settings();
    return {.connections = settings.connections,
            .remote = true,
            .description = "SFTP server " + printable(settings.place) + ", directory " +
                           printable(settings.path)};
  }

 private:
  // Who may read what we make: like the config, as restic.
  enum class Readers : uint8_t { kUnknown, kOwner, kGroup };

  // A file under its temporary name. Removed again by `discard`.
  struct Upload {
    std::string final_path;
    std::string temporary_path;
    std::string handle;
    std::string directory_handle;  // empty: cannot be opened, or need not
    std::optional<uint64_t> existing_bytes;
  };

  [[nodiscard]] std::string at(std::string_view relative) const {
    const std::string& root = pool_.settings().path;
    return root == "." ? std::string(relative)
                       : root + (root.ends_with('/') ? "" : "/") + std::string(relative);
  }
  [[nodiscard]] std::string what(std::string_view verb, const ObjectName& object) const {
    return "cannot " + std::string(verb) + " " + object.display() + " in " + traits().description;
  }
  [[nodiscard]] Error failure(const Context& context, SftpSession& session, const SftpReply& reply,
                              const std::string& what) const;

  void make_directories(const Context& context, SftpSession& session, const std::string& directory);
  Upload begin_upload(const Context& context, SftpSession& session, const ObjectName& object);
  void write_upload(const Context& context, SftpSession& session, const ObjectName& object,
                    Upload& upload, std::span<const ByteView> parts);
  bool publish(const Context& context, SftpSession& session, const ObjectName& object,
               Upload& upload);
  void publish_over(const Context& context, SftpSession& session, Upload& upload);
  void discard(SftpSession& session, Upload& upload) const;
  void learn_readers(const SftpReply& config);

  std::string open_for_reading(const Context& context, SftpSession& session,
                               const ObjectName& object, SftpReply* attributes);
  void read_exactly(const Context& context, SftpSession& session, const ObjectName& object,
                    const std::string& handle, uint64_t offset, MutableBytes out);
  std::vector<ObjectInfo> list_now(const Context& context, ObjectKind kind,
                                   std::vector<std::string> directories, std::string_view begin);
  std::vector<std::string> kind_directories(ObjectKind kind) const;
  void walk(const Context& context, std::vector<std::string> directories,
            const std::function<bool(const std::string&)>& enter,
            const std::function<void(const std::string&, const SftpName&)>& visit);
  void remove_paths(const Context& context, std::span<const std::string> paths);
  void remove_paths(const Context& context, SftpSession& session,
                    std::span<const std::string> paths);

  SftpPool pool_;
  std::atomic<Readers> readers_ = Readers::kUnknown;
};

Error SftpStorage::failure(const Context& context, SftpSession& session, const SftpReply& reply,
                           const std::string& what) const {
  const std::string said = reply.message.empty()
                               ? "status " + std::to_string(static_cast<unsigned>(reply.status))
                               : printable(reply.message);
  const std::string message = what + ": the server says: " + said;
  switch (reply.status) {
    case SftpStatus::kNoSuchFile:
      return {ErrorCode::kNotFound, message,
              "Check the path, and whether its file system is mounted on the server."};
    case SftpStatus::kPermissionDenied:
      return {ErrorCode::kPermission, message,
              "The user of the log-in must own the repository's directory or be allowed to write "
              "into it. See docs/storage.md."};
    case SftpStatus::kFailure:
      break;
    default:
      return {ErrorCode::kFailed, message};
  }
  // "Failure" is all that the protocol has for a full disk.
  if (session.has_extension("statvfs@openssh.com", "2") && !session.broken()) {
    SftpRound round(session);
    const std::optional<SftpSpace>& space = round.space(pool_.settings().path);
    round.wait(context);
    constexpr uint64_t kNothing = uint64_t{1} << 20U;
    if (space && space->read_only) {
      return {ErrorCode::kPermission, message, "The server's file system is mounted read-only."};
    }
    if (space &&
        (space->free_bytes < kNothing || (space->total_files != 0 && space->free_files == 0))) {
      return {ErrorCode::kStorageFull, message,
              "The server's file system is full. Free some space (forget and prune old snapshots) "
              "and run the command again; nothing already stored is lost."};
    }
  }
  return {ErrorCode::kFailed, message,
          "The protocol has no better word: a quota may be used up, or the disk may be failing. "
          "Look at the server's log."};
}

// Makes what leads to `directory` below the repository, never the repository itself: a file system
// that is not mounted must not look like an empty one.
void SftpStorage::make_directories(const Context& context, SftpSession& session,
                                   const std::string& directory) {
  SftpRound round(session);
  const SftpReply& root = round.stat(pool_.settings().path);
  round.wait(context);
  if (root.status == SftpStatus::kNoSuchFile) {
    throw Error(ErrorCode::kNotFound,
                "repository directory " + printable(pool_.settings().path) + " does not exist on " +
                    printable(pool_.settings().place),
                "Check the path, and whether its file system is mounted on the server.");
  }
  const uint32_t mode = readers_ == Readers::kGroup ? 0770 : 0700;
  const std::string prefix = at("");
  std::vector<std::string> made;
  for (size_t end = directory.find('/', prefix.size());; end = directory.find('/', end + 1)) {
    made.push_back(directory.substr(0, end));
    round.make_directory(made.back(), mode);  // mostly there already; opening will tell
    if (end == std::string::npos) {
      break;
    }
  }
  std::vector<const SftpReply*> parents;
  parents.reserve(made.size());
  for (const std::string& path : made) {
    parents.push_back(&round.open(parent_of(path), kSftpRead));
  }
  round.wait(context);
  for (const SftpReply* parent : parents) {
    if (parent->type == SftpType::kHandle) {
      round.sync(parent->handle);
      round.close(parent->handle);
    }
  }
  round.wait(context);
}

void SftpStorage::learn_readers(const SftpReply& config) {
  if (config.type == SftpType::kAttributes && config.attributes.mode) {
    readers_ = (*config.attributes.mode & 0040U) != 0 ? Readers::kGroup : Readers::kOwner;
  }
}

SftpStorage::Upload SftpStorage::begin_upload(const Context& context, SftpSession& session,
                                              const ObjectName& object) {
  Upload upload;
  upload.final_path = at(object_path(object));
  const std::string directory = parent_of(upload.final_path);
  for (bool again = false;; again = true) {
    upload.temporary_path =
        upload.final_path + "-tmp-" + std::to_string(context.random.next_u64() >> 24U);
    SftpRound round(session);
    const SftpReply& existing = round.stat(upload.final_path);
    const SftpReply& file =
        round.open(upload.temporary_path, kSftpWrite | kSftpCreate | kSftpExclusive, 0600);
    const SftpReply& parent = round.open(directory, kSftpRead);
    const SftpReply* const config =
        readers_ == Readers::kUnknown ? &round.stat(at("config")) : nullptr;
    round.wait(context);
    if (config != nullptr) {
      learn_readers(*config);
    }
    upload.handle = file.handle;
    upload.directory_handle = parent.handle;
    if (existing.type == SftpType::kAttributes) {
      upload.existing_bytes = existing.attributes.size_bytes.value_or(0);
      return upload;
    }
    if (file.type == SftpType::kHandle) {
      return upload;
    }
    if (!parent.handle.empty()) {
      round.close(parent.handle);
    }
    if (file.status != SftpStatus::kNoSuchFile || again) {
      throw failure(context, session, file, what("write", object));
    }
    make_directories(context, session, directory);
  }
}

void SftpStorage::write_upload(const Context& context, SftpSession& session,
                               const ObjectName& object, Upload& upload,
                               std::span<const ByteView> parts) {
  SftpRound round(session);
  const SftpReply written =
      round.write_all(context, upload.handle, parts, readers_ == Readers::kGroup ? 0440 : 0400);
  upload.handle.clear();  // closed by that
  if (written.status != SftpStatus::kOk) {
    throw failure(context, session, written, what("write", object));
  }
}

// False when the name is taken.
bool SftpStorage::publish(const Context& context, SftpSession& session, const ObjectName& object,
                          Upload& upload) {
  // A plain rename does not replace, says the protocol; but some servers do. That does no harm
  // where the name stands for the content.
  const bool named_by_hash =
      object.kind != ObjectKind::kConfig && object.kind != ObjectKind::kSalvor;
  SftpRound round(session);
  if (!named_by_hash && session.has_extension("hardlink@openssh.com", "1")) {
    const SftpReply& linked = round.link(upload.temporary_path, upload.final_path);
    round.sync(upload.directory_handle);
    round.wait(context);
    if (linked.status == SftpStatus::kOk) {
      round.remove(upload.temporary_path);
      round.close(upload.directory_handle);
      round.wait(context);
      upload.temporary_path.clear();
      upload.directory_handle.clear();
      return true;
    }
    // Taken, or a file system without links: the rename will tell.
  }
  const SftpReply& renamed = round.rename(upload.temporary_path, upload.final_path);
  round.sync(upload.directory_handle);
  const SftpReply& there = round.stat(upload.final_path);
  round.wait(context);
  if (renamed.status == SftpStatus::kOk) {
    upload.temporary_path.clear();
    return true;
  }
  if (there.type != SftpType::kAttributes) {
    throw failure(context, session, renamed, what("write", object));
  }
  upload.existing_bytes = there.attributes.size_bytes.value_or(0);
  return false;
}

// Leaves nothing behind that is ours, as far as that can be had within a few seconds.
void SftpStorage::discard(SftpSession& session, Upload& upload) const {
  if (session.broken()) {
    return;
  }
  SftpRound round(session);
  for (std::string* handle : {&upload.handle, &upload.directory_handle}) {
    if (!handle->empty()) {
      round.close(*handle);
      handle->clear();
    }
  }
  if (!upload.temporary_path.empty()) {
    session.send_detached(
        SftpRequest(SftpType::kRemove, session.next_id()).text(upload.temporary_path));
    upload.temporary_path.clear();
    session.settle(kTidyUp);
  }
}

std::optional<StorageSpace> SftpStorage::space(const Context& context) {
  context.check_stopped();
  const SftpPool::Lease session = pool_.take(context);
  if (!session->has_extension("statvfs@openssh.com", "2")) {
    return std::nullopt;
  }
  SftpRound round(*session);
  const std::optional<SftpSpace>& space = round.space(pool_.settings().path);
  round.wait(context);
  return space ? std::optional(StorageSpace{space->free_bytes, space->total_bytes}) : std::nullopt;
}

void SftpStorage::put(const Context& context, const ObjectName& object,
                      std::span<const ByteView> parts) {
  check_call(context, object);
  std::optional<uint64_t> existing_bytes;
  {
    const SftpPool::Lease session = pool_.take(context);
    Upload upload = begin_upload(context, *session, object);
    try {
      if (!upload.existing_bytes) {
        write_upload(context, *session, object, upload, parts);
        context.check_stopped();
        if (publish(context, *session, object, upload)) {
          discard(*session, upload);
          return;
        }
      } else {
        // Whoever put it may not have made its name durable yet.
        SftpRound round(*session);
        round.sync(upload.directory_handle);
        round.wait(context);
      }
    } catch (...) {
      discard(*session, upload);
      throw;
    }
    existing_bytes = upload.existing_bytes;
    discard(*session, upload);
  }
  // Without a session in hand: this asks for one itself.
  check_existing(*this, context, object, existing_bytes.value_or(0), parts);
}

void SftpStorage::publish_over(const Context& context, SftpSession& session, Upload& upload) {
  SftpRound round(session);
  const SftpReply* renamed = nullptr;
  if (session.has_extension("posix-rename@openssh.com", "1")) {
    renamed = &round.rename_over(upload.temporary_path, upload.final_path);
    round.sync(upload.directory_handle);
    round.wait(context);
  } else {
    // The old one stays until the new one has the name.
    const std::string old = upload.temporary_path + "0";
    round.rename(upload.final_path, old);
    renamed = &round.rename(upload.temporary_path, upload.final_path);
    round.wait(context);
    if (renamed->status == SftpStatus::kOk) {
      round.remove(old);
    } else {
      round.rename(old, upload.final_path);
    }
    round.sync(upload.directory_handle);
    round.wait(context);
  }
  if (renamed->status != SftpStatus::kOk) {
    throw failure(context, session, *renamed, what("replace", {ObjectKind::kConfig, {}}));
  }
  upload.temporary_path.clear();
}

void SftpStorage::replace_config(const Context& context, ByteView bytes) {
  context.check_stopped();
  const ObjectName object{ObjectKind::kConfig, {}};
  const SftpPool::Lease session = pool_.take(context);
  Upload upload = begin_upload(context, *session, object);
  try {
    write_upload(context, *session, object, upload, std::span<const ByteView>(&bytes, 1));
    context.check_stopped();
    publish_over(context, *session, upload);
  } catch (...) {
    discard(*session, upload);
    throw;
  }
  discard(*session, upload);
}

std::string SftpStorage::open_for_reading(const Context& context, SftpSession& session,
                                          const ObjectName& object, SftpReply* attributes) {
  const std::string path = at(object_path(object));
  SftpRound round(session);
  const SftpReply* const status = attributes != nullptr ? &round.stat(path) : nullptr;
  const SftpReply& file = round.open(path, kSftpRead);
  round.wait(context);
  if (file.type != SftpType::kHandle) {
    throw failure(context, session, file, what("read", object));
  }
  if (attributes != nullptr) {
    *attributes = *status;
  }
  return file.handle;
}

void SftpStorage::read_exactly(const Context& context, SftpSession& session,
                               const ObjectName& object, const std::string& handle, uint64_t offset,
                               MutableBytes out) {
  SftpRound round(session);
  const SftpRound::Read read = round.read(context, handle, offset, out);
  if (read.failure.status != SftpStatus::kOk) {
    throw failure(context, session, read.failure, what("read", object));
  }
  if (read.got < out.size()) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it ends at byte " +
                                         std::to_string(offset + read.got) + ", before byte " +
                                         std::to_string(offset + out.size()));
  }
}

Buffer SftpStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  const SftpPool::Lease session = pool_.take(context);
  SftpReply attributes;
  const std::string handle = open_for_reading(context, *session, object, &attributes);
  const SftpHandle closer(*session, handle);
  if (object.kind == ObjectKind::kConfig) {
    // May have been replaced between the two answers.
    SftpRound round(*session);
    const SftpReply& opened = round.stat_open(handle);
    round.wait(context);
    attributes = opened;
  }
  if (attributes.type != SftpType::kAttributes || !attributes.attributes.size_bytes) {
    throw failure(context, *session, attributes, what("read", object));
  }
  if (attributes.attributes.mode && !attributes.attributes.is_regular()) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it is not a regular file");
  }
  const uint64_t size_bytes = *attributes.attributes.size_bytes;
  if (size_bytes > limit_bytes) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it has " +
                                         std::to_string(size_bytes) + " bytes, more than " +
                                         std::to_string(limit_bytes));
  }
  Buffer content(size_bytes);
  read_exactly(context, *session, object, handle, 0, content.bytes());
  return content;
}

void SftpStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                            MutableBytes out) {
  check_call(context, object);
  const SftpPool::Lease session = pool_.take(context);
  const std::string handle = open_for_reading(context, *session, object, nullptr);
  const SftpHandle closer(*session, handle);
  read_exactly(context, *session, object, handle, offset, out);
}

std::optional<ObjectInfo> SftpStorage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  const SftpPool::Lease session = pool_.take(context);
  SftpRound round(*session);
  const SftpReply& status = round.stat(at(object_path(object)));
  round.wait(context);
  if (status.type == SftpType::kAttributes) {
    if (status.attributes.mode && !status.attributes.is_regular()) {
      return std::nullopt;
    }
    return ObjectInfo{object.name, status.attributes.size_bytes.value_or(0)};
  }
  if (status.status == SftpStatus::kNoSuchFile) {
    return std::nullopt;
  }
  throw failure(context, *session, status, what("look at", object));
}

std::vector<std::string> SftpStorage::kind_directories(ObjectKind kind) const {
  std::string top(kind_prefix(kind));
  top.pop_back();  // the slash
  if (kind != ObjectKind::kPack) {
    return {top};
  }
  std::vector<std::string> directories;
  for (unsigned i = 0; i < 256; ++i) {
    const std::byte byte{static_cast<unsigned char>(i)};
    directories.push_back(top + "/" + to_hex(ByteView(&byte, 1)));
  }
  return directories;
}

// Visits what `directories` have, and below those for which `enter` says so; all by their paths
// relative to the repository, whose own is "".
void SftpStorage::walk(const Context& context, std::vector<std::string> directories,
                       const std::function<bool(const std::string&)>& enter,
                       const std::function<void(const std::string&, const SftpName&)>& visit) {
  const SftpPool::Lease session = pool_.take(context);
  constexpr unsigned kMaxDepth = 64;  // symbolic links may make a circle
  for (unsigned depth = 0; !directories.empty() && depth < kMaxDepth; ++depth) {
    std::vector<std::string> paths;
    paths.reserve(directories.size());
    for (const std::string& directory : directories) {
      paths.push_back(directory.empty() ? pool_.settings().path : at(directory));
    }
    SftpRound round(*session);
    const std::vector<SftpRound::Listing> listings = round.list(context, paths);
    std::vector<std::string> deeper;
    for (size_t i = 0; i < listings.size(); ++i) {
      if (listings[i].failure.status != SftpStatus::kOk) {
        throw failure(context, *session, listings[i].failure,
                      "cannot list " + directories[i] + " in " + traits().description);
      }
      for (const SftpName& name : listings[i].names) {
        const std::string relative =
            directories[i].empty() ? name.name : directories[i] + "/" + name.name;
        if (!name.attributes.is_directory()) {
          visit(relative, name);
        } else if (enter(relative)) {
          deeper.push_back(relative);
        }
      }
    }
    directories = std::move(deeper);
  }
}

// What `directories` have, of kSalvor also what lies deeper; only paths that begin with `begin`.
std::vector<ObjectInfo> SftpStorage::list_now(const Context& context, ObjectKind kind,
                                              std::vector<std::string> directories,
                                              std::string_view begin) {
  std::vector<ObjectInfo> objects;
  walk(
      context, std::move(directories),
      [&](const std::string& path) {
        return kind == ObjectKind::kSalvor && path.starts_with(begin) && name_of_path(kind, path);
      },
      [&](const std::string& path, const SftpName& name) {
        const auto object = path.starts_with(begin) ? name_of_path(kind, path) : std::nullopt;
        if (object && (!name.attributes.mode || name.attributes.is_regular())) {
          objects.push_back({*object, name.attributes.size_bytes.value_or(0)});
        }
      });
  return objects;
}

std::vector<Leftover> SftpStorage::leftovers(const Context& context, std::chrono::seconds age) {
  std::vector<std::string> directories = {"", "index", "keys", "locks", "snapshots", "salvor"};
  for (std::string& directory : kind_directories(ObjectKind::kPack)) {
    directories.push_back(std::move(directory));
  }
  std::optional<std::chrono::sys_seconds> now;
  std::vector<std::pair<Leftover, std::chrono::sys_seconds>> candidates;
  walk(
      context, std::move(directories),
      [](const std::string& path) { return name_of_path(ObjectKind::kSalvor, path).has_value(); },
      [&](const std::string& path, const SftpName& name) {
        const auto modified = name.attributes.modified;
        if (!modified || !name.attributes.is_regular()) {
          return;
        }
        if (name_of_path(ObjectKind::kLock, path)) {
          now = std::max(now.value_or(*modified), *modified);
        } else if (is_leftover_path(path)) {
          candidates.push_back({{path, name.attributes.size_bytes.value_or(0)}, *modified});
        }
      });
  std::vector<Leftover> found;
  for (auto& [leftover, modified] : candidates) {
    if (now && *now - modified > age) {
      found.push_back(std::move(leftover));
    }
  }
  return found;
}

void SftpStorage::remove_leftovers(const Context& context, std::span<const Leftover> leftovers) {
  check_leftovers(leftovers, traits().description);
  std::vector<std::string> paths;
  for (const Leftover& leftover : leftovers) {
    paths.push_back(at(leftover.path));
  }
  remove_paths(context, paths);
}

void SftpStorage::list(const Context& context, ObjectKind kind,
                       const std::function<void(const ObjectInfo&)>& on_object) {
  list_prefix(context, kind, "", on_object);
}

void SftpStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                              const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  if (!may_begin_name(kind, prefix)) {
    return;
  }
  if (kind == ObjectKind::kConfig) {
    if (const auto config = stat(context, {kind, {}})) {
      on_object(*config);
    }
    return;
  }
  std::vector<std::string> directories = kind_directories(kind);
  const std::string begin = path_prefix(kind, prefix);
  if (const size_t slash = prefix.rfind('/'); slash != std::string_view::npos) {
    directories = {begin.substr(0, begin.rfind('/'))};
  }
  if (kind == ObjectKind::kIndex) {
    pool_.make_ready(kReadyForPacks);
  }
  for (const ObjectInfo& object : list_now(context, kind, std::move(directories), begin)) {
    context.check_stopped();
    on_object(object);
  }
}

void SftpStorage::remove_paths(const Context& context, SftpSession& session,
                               std::span<const std::string> paths) {
  std::set<std::string> touched;
  SftpRound round(session);
  std::vector<const SftpReply*> removed;
  for (const std::string& path : paths) {
    removed.push_back(&round.remove(path));
    touched.insert(parent_of(path));
  }
  std::vector<const SftpReply*> directories;
  for (const std::string& directory : touched) {
    directories.push_back(&round.open(directory, kSftpRead));
  }
  round.wait(context);
  // What is absent already may have been removed by someone who has not synced yet.
  for (const SftpReply* directory : directories) {
    if (directory->type == SftpType::kHandle) {
      round.sync(directory->handle);
      round.close(directory->handle);
    }
  }
  round.wait(context);
  for (size_t i = 0; i < removed.size(); ++i) {
    if (removed[i]->status != SftpStatus::kOk && removed[i]->status != SftpStatus::kNoSuchFile) {
      throw failure(context, session, *removed[i],
                    "cannot remove " + paths[i] + " on " + printable(pool_.settings().place));
    }
  }
}

void SftpStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  for (const ObjectName& object : objects) {
    check_call(context, object);
  }
  std::vector<std::string> paths;
  for (const ObjectName& object : objects) {
    paths.push_back(at(object_path(object)));
  }
  remove_paths(context, paths);
}

void SftpStorage::remove_paths(const Context& context, std::span<const std::string> paths) {
  constexpr size_t kAtATime = 64;  // directories that are open at a time
  const SftpPool::Lease session = pool_.take(context);
  for (size_t i = 0; i < paths.size(); i += kAtATime) {
    context.check_stopped();
    remove_paths(context, *session, paths.subspan(i, std::min(kAtATime, paths.size() - i)));
  }
}

void SftpStorage::create(const Context& context) {
  context.check_stopped();
  const SftpPool::Lease session = pool_.take(context);
  const std::string& root = pool_.settings().path;
  SftpRound round(*session);
  const SftpReply& there = round.stat(root);
  round.wait(context);
  if (there.type != SftpType::kAttributes) {
    for (size_t end = root.find('/', 1); end != std::string::npos; end = root.find('/', end + 1)) {
      round.make_directory(root.substr(0, end), 0777);  // the umask decides, as for mkdir -p
    }
    const SftpReply& made = round.make_directory(root, 0700);
    const SftpReply& now = round.stat(root);
    const SftpReply& parent = round.open(parent_of(root), kSftpRead);
    round.wait(context);
    round.sync(parent.handle);
    round.close(parent.handle);
    if (now.type != SftpType::kAttributes) {
      throw failure(context, *session, made,
                    "cannot make repository directory " + printable(root) + " on " +
                        printable(pool_.settings().place));
    }
  }
  std::vector<std::string> made;
  for (const char* top : {"data", "index", "keys", "locks", "snapshots"}) {
    made.emplace_back(top);
  }
  for (const std::string& directory : kind_directories(ObjectKind::kPack)) {
    made.push_back(directory);
  }
  const uint32_t mode = readers_ == Readers::kGroup ? 0770 : 0700;
  const SftpReply* refused = nullptr;
  for (const std::string& directory : made) {
    const SftpReply& reply = round.make_directory(at(directory), mode);
    refused = refused == nullptr ? &reply : refused;
  }
  const SftpReply& first = round.stat(at("data"));
  const SftpReply& last = round.stat(at("data/ff"));
  const SftpReply& data = round.open(at("data"), kSftpRead);
  const SftpReply& whole = round.open(root, kSftpRead);
  round.wait(context);
  if (!first.attributes.is_directory() || !last.attributes.is_directory()) {
    throw failure(context, *session, *refused,
                  "cannot make the directories of " + traits().description);
  }
  for (const SftpReply* directory : {&data, &whole}) {
    round.sync(directory->handle);
    round.close(directory->handle);
  }
  round.wait(context);
}

}  // namespace

std::unique_ptr<Storage> open_sftp_storage(SftpSettings settings) {
  return std::make_unique<SftpStorage>(std::move(settings));
}

}  // namespace salvor
