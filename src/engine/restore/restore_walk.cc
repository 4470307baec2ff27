#include "engine/restore/restore_walk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/profile.h"

namespace salvor {
namespace {

bool ends_run(const Error& error) {
  return error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kStorageFull ||
         error.code() == ErrorCode::kUnreachable;
}

bool is_newer(const Timestamp& stored, const timespec& present) {
  return stored.seconds != present.tv_sec
             ? stored.seconds > present.tv_sec
             : stored.nanoseconds > static_cast<uint32_t>(present.tv_nsec);
}

bool same_time(const Timestamp& stored, const timespec& present) {
  return stored.seconds == present.tv_sec &&
         stored.nanoseconds == static_cast<uint32_t>(present.tv_nsec);
}

// Whether what stands there is already the very link, device or fifo.
bool is_same_special(int directory, const Node& node, const struct stat& present) {
  switch (node.type) {
    case NodeType::kSymlink: {
      if (!S_ISLNK(present.st_mode)) {
        return false;
      }
      std::array<char, 4097> target{};
      const ssize_t got = readlinkat(directory, node.name.c_str(), target.data(), target.size());
      return got >= 0 &&
             std::string_view(target.data(), static_cast<size_t>(got)) == node.link_target;
    }
    case NodeType::kFifo:
      return S_ISFIFO(present.st_mode);
    case NodeType::kDevice:
      return S_ISBLK(present.st_mode) && present.st_rdev == node.device;
    case NodeType::kCharDevice:
      return S_ISCHR(present.st_mode) && present.st_rdev == node.device;
    default:
      return false;
  }
}

unsigned prefetch_threads(const Repository& repository) {
  const StorageTraits traits = repository.storage().traits();
  return traits.remote ? std::clamp(traits.connections, 2U, 16U) : 2U;
}

}  // namespace

RestoreSelection::Answer RestoreSelection::ask(std::string_view location, bool is_directory) const {
  if (!includes.empty() || !insensitive_includes.empty()) {
    const PathPatterns::Match one = includes.match(location);
    const PathPatterns::Match two = insensitive_includes.match(location);
    return {one.matched || two.matched,
            is_directory && (one.child_may_match || two.child_may_match)};
  }
  const bool excluded =
      (!excludes.empty() && excludes.match(location).matched) ||
      (!insensitive_excludes.empty() && insensitive_excludes.match(location).matched);
  return {!excluded, !excluded && is_directory};
}

RestoreWalk::RestoreWalk(const Context& context, Repository& repository, FilesTarget& target,
                         const RestoreOptions& options, RestoreProgress& progress)
    : writing_pool_("restore-window", 1),
      writing_group_(writing_pool_, context.stop),
      context_(context.with_stop(writing_group_.stop_token())),
      repository_(repository),
      target_(target),
      options_(options),
      progress_(progress),
      window_(context_, repository, target, options, progress),
      trees_(context_, repository, prefetch_threads(repository)),
      reader_(repository),
      descent_(context_, reader_) {}

RestoreWalk::~RestoreWalk() = default;

RestoreWalk::Level::~Level() {
  std::shared_ptr<Level> next = std::move(above);
  while (next && next.use_count() == 1) {
    std::shared_ptr<Level> outer = std::move(next->above);
    next = std::move(outer);
  }
}

void RestoreWalk::report(const std::string& location, const Error& error) {
  if (ends_run(error)) {
    Error with_place = error;
    throw with_place.within("cannot restore " + location);
  }
  ++progress_.errors;
  context_.events.on(ItemFailed{"restore", location, error.message(), error.hint()});
}

void RestoreWalk::handled(const char* action, const std::string& location, const char* type) {
  if (context_.events.wants_items()) {
    context_.events.on(ItemHandled{action, location, type, 0, 0});
  }
}

void RestoreWalk::skipped(const std::string& location, uint64_t bytes) {
  ++progress_.files_skipped;
  progress_.bytes_skipped += bytes;
  handled("skipped", location, "");
}

void RestoreWalk::run(const BlobId& root) {
  try {
    auto level = std::make_shared<Level>();
    level->directory = std::make_shared<RestoreDirectory>();
    level->directory->handle = target_.open_root(options_.target, !options_.dry_run);
    level->selected = true;
    enter(std::move(level), root);
    while (!stack_.empty()) {
      context_.check_stopped();
      descent_.check_paths();  // not in `step`, where it would count as one directory's failure
      step();
    }
    begin_writing();
  } catch (...) {
    // If writing failed first, its error is the cause and this one ("interrupted") a consequence.
    writing_group_.fail(std::current_exception());
  }
  writing_group_.wait();
}

// A tree that cannot be read costs what is below it; the directory itself is restored.
void RestoreWalk::enter(std::shared_ptr<Level> level, const BlobId& tree) {
  Tree content;
  try {
    content = trees_.take(tree);
  } catch (const Error& error) {
    level->may_delete = false;
    report(level->directory->location(), error);
  }
  if (options_.delete_unexpected) {
    for (const Node& node : content.nodes) {
      level->expected.push_back(node.name);
    }
    std::sort(level->expected.begin(), level->expected.end());
  }
  try {
    descent_.enter(tree, level->node.name, std::move(content));
  } catch (const Error& error) {
    report(level->directory->location(), error);
    stay_out(level);
    return;
  }
  stack_.push_back(std::move(level));
  prefetch();
}

// The trees that come next, unless a selection may skip them.
void RestoreWalk::prefetch() {
  if (!options_.selection.empty()) {
    return;
  }
  constexpr size_t kNodes = 64;
  constexpr size_t kTrees = 8;
  std::vector<BlobId> next;
  const std::span<const Node> rest = descent_.rest();
  for (size_t i = 0; i < std::min(rest.size(), kNodes) && next.size() < kTrees; ++i) {
    const Node& node = rest[i];
    if (node.type == NodeType::kDir && node.subtree && is_plain_name(node.name)) {
      next.push_back(*node.subtree);
    }
  }
  trees_.expect(next);
}

void RestoreWalk::step() {
  Level& level = *stack_.back();
  Node* const at = descent_.next();
  if (at == nullptr) {
    leave();
    return;
  }
  Node node = std::move(*at);
  const std::string name = node.name;
  try {
    visit(level, std::move(node));
  } catch (const Error& error) {
    report(level.directory->location_of(name), error);
  }
  constexpr size_t kWindowDirectories = 25'000;
  const bool full = window_.full() || rest_.directories.size() >= kWindowDirectories;
  if (full || (!writing_ && window_.worth_starting())) {
    begin_writing();
  }
}

void RestoreWalk::leave() {
  const std::shared_ptr<Level> level = std::move(stack_.back());
  stack_.pop_back();
  descent_.leave();
  if (!level->restored) {
    return;
  }
  if (!stack_.empty()) {
    stack_.back()->restored = true;
  }
  level->above.reset();  // from now on it is the writing thread's
  rest_.directories.push_back(level);
}

void RestoreWalk::visit(Level& level, Node node) {
  if (!is_plain_name(node.name)) {
    // Who names things so may also hope that the real ones be deleted.
    deletion_safe_ = false;
    throw Error(ErrorCode::kDamaged, "the snapshot holds an invalid name, which is left out",
                "No program that works makes such names: the snapshot may be forged.");
  }
  if (node.type == NodeType::kSocket) {
    return;
  }
  const std::string location = level.directory->location_of(node.name);
  const RestoreSelection::Answer answer =
      options_.selection.ask(location, node.type == NodeType::kDir);
  if (node.type == NodeType::kDir) {
    if (answer.selected || answer.descend) {
      visit_directory(stack_.back(), std::move(node), answer);
    }
    return;
  }
  if (!answer.selected) {
    return;
  }
  ensure(level);
  level.restored = true;
  ++progress_.files_total;
  if (node.type == NodeType::kFile) {
    visit_file(level, std::move(node));
  } else {
    visit_special(level, node);
  }
}

void RestoreWalk::visit_directory(const std::shared_ptr<Level>& level, Node node,
                                  const RestoreSelection::Answer& answer) {
  auto below = std::make_shared<Level>();
  below->above = level;
  below->selected = answer.selected;
  below->directory = std::make_shared<RestoreDirectory>(level->directory, node.name);
  const std::optional<BlobId> subtree = node.subtree;
  below->node = std::move(node);
  if (answer.selected) {
    ensure(*below);
  }
  if (!subtree) {
    report(below->directory->location(),
           Error(ErrorCode::kDamaged, "the snapshot does not say what is in this directory"));
  }
  if (answer.descend && subtree) {
    prefetch();
    enter(below, *subtree);
  } else {
    stay_out(below);
  }
}

// The directory alone, if it is restored at all. What it holds is not known.
void RestoreWalk::stay_out(const std::shared_ptr<Level>& level) {
  level->may_delete = false;
  if (level->restored) {
    level->above->restored = true;
    level->above.reset();
    rest_.directories.push_back(level);
  }
}

void RestoreWalk::ensure(Level& level) {
  std::vector<Level*> missing;
  for (Level* at = &level; at->above && !at->restored; at = at->above.get()) {
    missing.push_back(at);
  }
  for (size_t i = missing.size(); i-- > 0;) {
    make(*missing[i]);
  }
  level.restored = true;
}

void RestoreWalk::make(Level& level) {
  // Null in a dry run where nothing is there.
  if (const std::shared_ptr<DirectoryHandle>& parent = level.above->directory->handle) {
    if (options_.dry_run) {
      level.directory->handle = target_.find_directory(parent, level.node.name);
    } else {
      FilesTarget::Directory made = target_.make_directory(parent, level.node.name);
      level.directory->handle = std::move(made.handle);
      level.directory->created = made.created;
    }
  }
  level.restored = true;
  ++progress_.files_total;
}

void RestoreWalk::look(Level& level) {
  if (level.looked) {
    return;
  }
  level.looked = true;
  if (level.directory->created || !level.directory->handle) {
    return;
  }
  const SharedFd fd = level.directory->handle->open();
  // Its own descriptor: the shared one's position belongs to nobody.
  const UniqueFd again(openat(fd->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!again || level.names.read(again.get()) != 0) {
    throw Error::from_errno(errno, "cannot list the directory in the target");
  }
}

std::optional<struct stat> RestoreWalk::existing(Level& level, const std::string& name) {
  look(level);
  if (!level.names.contains(name)) {
    return std::nullopt;
  }
  return FilesTarget::look(level.directory->handle->open()->get(), name);
}

bool RestoreWalk::may_overwrite(const Node& node,
                                const std::optional<struct stat>& existing) const {
  if (!existing) {
    return true;
  }
  switch (options_.overwrite) {
    case Overwrite::kAlways:
    case Overwrite::kIfChanged:
      return true;
    case Overwrite::kIfNewer:
      return is_newer(node.mtime, existing->st_mtim);
    case Overwrite::kNever:
      return false;
  }
  return false;
}

// Hard links: restic tells them by inode and device. Names that share those but not the content do
// not belong together, whatever made the snapshot say so (facts: restic format, section 12).
bool RestoreWalk::is_later_name(Level& level, Node& node, std::shared_ptr<LinkedFile>& linked) {
  if (node.links < 2 || node.inode == 0) {
    return false;
  }
  const auto [at, added] = first_names_.try_emplace({node.device_id, node.inode});
  if (!added) {
    return at->second->content == node.content;
  }
  linked = std::make_shared<LinkedFile>();
  linked->directory = level.directory;
  linked->name = node.name;
  linked->content = node.content;
  at->second = linked;
  return false;
}

void RestoreWalk::visit_file(Level& level, Node node) {
  if (node.content_is_null) {
    throw Error(ErrorCode::kDamaged, "the snapshot does not say what this file contains");
  }
  const std::optional<struct stat> present = existing(level, node.name);
  if (!may_overwrite(node, present)) {
    progress_.bytes_total += node.size;
    skipped(level.directory->location_of(node.name), node.size);
    return;
  }
  std::shared_ptr<LinkedFile> linked;
  if (is_later_name(level, node, linked)) {
    const std::pair key{node.device_id, node.inode};
    rest_.links.push_back({first_names_.at(key), level.directory, std::move(node)});
    return;
  }
  const bool same_time_now = present && same_time(node.mtime, present->st_mtim);
  RestoreFile& file = window_.add(std::move(node), level.directory);
  file.linked = std::move(linked);
  if (present && S_ISREG(present->st_mode)) {
    file.existing = std::make_unique<struct stat>(*present);
    file.trusted = options_.overwrite == Overwrite::kIfChanged && same_time_now;
  }
}

void RestoreWalk::visit_special(Level& level, const Node& node) {
  const std::string location = level.directory->location_of(node.name);
  if (node.type == NodeType::kOther) {
    throw Error(ErrorCode::kFailed,
                "entries of type \"" + node.other_type + "\" cannot be restored");
  }
  const std::optional<struct stat> present = existing(level, node.name);
  if (!may_overwrite(node, present)) {
    skipped(location, 0);
    return;
  }
  if (!options_.dry_run) {
    const StageTimer timer(context_.profile, Stage::kMetadata);
    const SharedFd directory = level.directory->handle->open();
    const bool same = present && is_same_special(directory->get(), node, *present);
    if (!same) {
      target_.make_special(directory->get(), node);
    }
    target_.apply_at(directory->get(), node, {.now = same ? &*present : nullptr});
  }
  ++progress_.files_restored;
  handled("restored", location, node_type_name(node.type).data());
}

void RestoreWalk::begin_writing() {
  writing_group_.wait();
  window_.begin();
  writing_rest_ = std::exchange(rest_, {});
  writing_ = true;
  writing_group_.run([this] { write(); });
}

void RestoreWalk::write() {
  window_.run();
  make_links();
  finish_directories();
  writing_ = false;
}

void RestoreWalk::make_links() {
  for (const Link& link : writing_rest_.links) {
    const std::string location = link.directory->location_of(link.node.name);
    if (link.first->failed) {
      report(location,
             Error(ErrorCode::kFailed, "it is a hard link to " +
                                           link.first->directory->location_of(link.first->name) +
                                           ", which could not be restored"));
      continue;
    }
    try {
      if (!options_.dry_run) {
        target_.make_link(link.first->directory->handle->open()->get(), link.first->name,
                          link.directory->handle->open()->get(), link.node.name);
      }
      ++progress_.files_restored;
      handled("restored", location, "file");
    } catch (const Error& error) {
      report(location, error);
    }
  }
  writing_rest_.links.clear();
}

void RestoreWalk::finish_directories() {
  for (const std::shared_ptr<Level>& level : writing_rest_.directories) {
    try {
      finish_directory(*level);
    } catch (const Error& error) {
      report(level->directory->location(), error);
    }
  }
  writing_rest_.directories.clear();
}

void RestoreWalk::finish_directory(Level& level) {
  if (options_.delete_unexpected && level.directory->handle) {
    delete_unexpected(level);
  }
  if (level.node.name.empty()) {
    return;  // the root of the snapshot has no metadata
  }
  if (!options_.dry_run && level.directory->handle) {
    const StageTimer timer(context_.profile, Stage::kMetadata);
    const SharedFd fd = level.directory->handle->open();
    struct stat now{};
    const bool known = fstat(fd->get(), &now) == 0;
    target_.apply(fd->get(), level.node, {.now = known ? &now : nullptr});
    level.directory->handle->release();
  }
  ++progress_.files_restored;
  if (context_.events.wants_items()) {
    handled("restored", level.directory->location(), "dir");
  }
}

// Only what stood there before this run, and only after everything else in the directory has been
// restored.
void RestoreWalk::delete_unexpected(Level& level) {
  if (!level.may_delete || !deletion_safe_ || level.directory->created) {
    return;
  }
  look(level);
  for (size_t i = 0; i < level.names.size(); ++i) {
    const std::string name(level.names.name(i));
    if (std::binary_search(level.expected.begin(), level.expected.end(), name)) {
      continue;
    }
    const std::string location = level.directory->location_of(name);
    if (!options_.selection.ask(location, false).selected) {
      continue;
    }
    const auto removed = [&](const std::string& below) {
      ++progress_.files_deleted;
      handled("deleted", below.empty() ? location : location + "/" + below, "");
    };
    if (options_.dry_run) {
      removed({});
      continue;
    }
    try {
      target_.remove_tree(level.directory->handle->open()->get(), name, removed);
    } catch (const Error& error) {
      report(location, error);
    }
  }
}

}  // namespace salvor
