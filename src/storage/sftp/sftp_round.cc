#include "storage/sftp/sftp_round.h"

#include <algorithm>
#include <functional>

namespace salvor {
namespace {

// A copy without what points into the packet.
SftpReply keep(const SftpReply& reply) {
  SftpReply kept = reply;
  kept.data = {};
  return kept;
}

void note_failure(SftpReply& first, const SftpReply& reply) {
  if (reply.status != SftpStatus::kOk && first.status == SftpStatus::kOk) {
    first = keep(reply);
  }
}

SftpReply nonsense() {
  SftpReply reply;
  reply.status = SftpStatus::kBadMessage;
  reply.message = "an answer that does not fit the question";
  return reply;
}

}  // namespace

const SftpReply& SftpRound::ask(const SftpRequest& request) {
  SftpReply& reply = slot();
  session_.send(request, [&reply](const SftpReply& answer) { reply = keep(answer); });
  return reply;
}

const SftpReply& SftpRound::stat(const std::string& path) {
  return ask(make(SftpType::kStat).text(path));
}

const SftpReply& SftpRound::stat_open(const std::string& handle) {
  return ask(make(SftpType::kFstat).text(handle));
}

const SftpReply& SftpRound::open(const std::string& path, uint32_t flags, uint32_t mode) {
  SftpRequest request = make(SftpType::kOpen);
  request.text(path).number(flags);
  if ((flags & kSftpCreate) != 0) {
    request.permissions(mode);
  } else {
    request.no_attributes();
  }
  return ask(request);
}

const SftpReply& SftpRound::make_directory(const std::string& path, uint32_t mode) {
  return ask(make(SftpType::kMkdir).text(path).permissions(mode));
}

const SftpReply& SftpRound::remove(const std::string& path) {
  return ask(make(SftpType::kRemove).text(path));
}

const SftpReply& SftpRound::rename(const std::string& from, const std::string& to) {
  return ask(make(SftpType::kRename).text(from).text(to));
}

const SftpReply& SftpRound::rename_over(const std::string& from, const std::string& to) {
  return ask(make("posix-rename@openssh.com").text(from).text(to));
}

const SftpReply& SftpRound::link(const std::string& from, const std::string& to) {
  return ask(make("hardlink@openssh.com").text(from).text(to));
}

const std::optional<SftpSpace>& SftpRound::space(const std::string& path) {
  std::optional<SftpSpace>& space = spaces_.emplace_back();
  session_.send(make("statvfs@openssh.com").text(path), [&space](const SftpReply& answer) {
    constexpr size_t kLength = 11 * 8;
    if (answer.type == SftpType::kExtendedReply && answer.data.size() >= kLength) {
      space = parse_sftp_space(answer.data);
    }
  });
  return space;
}

void SftpRound::sync(const std::string& handle) {
  if (!handle.empty() && session_.has_extension("fsync@openssh.com", "1")) {
    ask(make("fsync@openssh.com").text(handle));
  }
}

void SftpRound::close(const std::string& handle) {
  if (!handle.empty() && !session_.broken()) {
    session_.send_detached(make(SftpType::kClose).text(handle));
  }
}

SftpReply SftpRound::write_all(const Context& context, const std::string& handle,
                               std::span<const ByteView> parts, uint32_t mode) {
  SftpReply failure;
  const auto must_succeed = [&failure](const SftpReply& answer) { note_failure(failure, answer); };
  // A server that knows no modes stores the file all the same.
  ask(make(SftpType::kFsetstat).text(handle).permissions(mode));
  // Many small parts are put together first: a request of its own for each would cost more.
  constexpr size_t kSmall = size_t{32} << 10U;
  Buffer joined;
  size_t total = 0;
  for (const ByteView part : parts) {
    total += part.size();
  }
  ByteView whole;
  if (parts.size() > 1 && total / parts.size() < kSmall) {
    joined.reserve(total);
    for (const ByteView part : parts) {
      joined.append(part);
    }
    whole = joined.view();
    parts = std::span<const ByteView>(&whole, 1);
  }
  uint64_t offset = 0;
  for (ByteView part : parts) {
    while (!part.empty()) {
      const ByteView piece = part.first(std::min(part.size(), session_.write_bytes()));
      session_.send(make(SftpType::kWrite).text(handle).number64(offset).payload(piece.size()),
                    must_succeed, piece);
      offset += piece.size();
      part = part.subspan(piece.size());
    }
  }
  if (session_.has_extension("fsync@openssh.com", "1")) {
    session_.send(make("fsync@openssh.com").text(handle), must_succeed);
  }
  session_.send(make(SftpType::kClose).text(handle), must_succeed);
  wait(context);
  return failure;
}

SftpRound::Read SftpRound::read(const Context& context, const std::string& handle, uint64_t offset,
                                MutableBytes out) {
  Read result;
  size_t end = out.size();  // where the file turned out to end
  const std::function<void(size_t, size_t)> ask_for = [&](size_t begin, size_t length) {
    const auto number = static_cast<uint32_t>(length);
    session_.send(
        make(SftpType::kRead).text(handle).number64(offset + begin).number(number),
        [&, begin, length](const SftpReply& answer) {
          if (answer.type == SftpType::kData && answer.data.size() <= length &&
              !answer.data.empty()) {
            std::ranges::copy(answer.data, out.begin() + static_cast<std::ptrdiff_t>(begin));
            if (answer.data.size() < length) {  // a short read, not the end
              ask_for(begin + answer.data.size(), length - answer.data.size());
            }
          } else if (answer.status == SftpStatus::kEof || answer.type == SftpType::kData) {
            end = std::min(end, begin);
          } else {
            note_failure(result.failure, answer.type == SftpType::kStatus ? answer : nonsense());
          }
        });
  };
  for (size_t begin = 0; begin < out.size(); begin += session_.read_bytes()) {
    ask_for(begin, std::min(out.size() - begin, session_.read_bytes()));
  }
  wait(context);
  result.got = end;
  return result;
}

// Reads several directories at once, each with several requests under way: most have few names, and
// the answer that there are no more costs a round trip too.
class SftpRound::DirectoryReader {
 public:
  DirectoryReader(SftpRound& round, std::span<const std::string> paths)
      : round_(round), paths_(paths), listings_(paths.size()), states_(paths.size()) {
    const uint64_t handles = round.session_.max_handles();
    const size_t at_a_time = handles == 0 ? 16 : std::min<uint64_t>(handles / 2 + 1, 128);
    while (next_ < paths_.size() && next_ < at_a_time) {
      open_next();
    }
  }

  std::vector<Listing> take() { return std::move(listings_); }

 private:
  struct State {
    std::string handle;
    unsigned asked = 0;  // answers that are due
    unsigned depth = 2;  // how many to have due
    bool ended = false;
  };
  static constexpr unsigned kMaxDepth = 32;

  void open_next() {
    const size_t index = next_++;
    round_.session_.send(round_.make(SftpType::kOpendir).text(paths_[index]),
                         [this, index](const SftpReply& answer) { opened(index, answer); });
  }

  void opened(size_t index, const SftpReply& answer) {
    if (answer.type == SftpType::kHandle) {
      states_[index].handle = answer.handle;
      ask_more(index);
      return;
    }
    if (answer.status != SftpStatus::kNoSuchFile) {
      note_failure(listings_[index].failure, answer);
    }
    done();
  }

  void ask_more(size_t index) {
    State& state = states_[index];
    while (!state.ended && state.asked < state.depth) {
      ++state.asked;
      round_.session_.send(round_.make(SftpType::kReaddir).text(state.handle),
                           [this, index](const SftpReply& answer) { listed(index, answer); });
    }
  }

  void listed(size_t index, const SftpReply& answer) {
    State& state = states_[index];
    --state.asked;
    if (answer.type == SftpType::kName && !answer.names.empty()) {
      std::vector<SftpName>& names = listings_[index].names;
      std::ranges::copy_if(answer.names, std::back_inserter(names), [](const SftpName& name) {
        return name.name != "." && name.name != "..";
      });
      state.depth = std::min(state.depth * 2, kMaxDepth);
    } else {
      state.ended = true;
      if (answer.status != SftpStatus::kEof) {
        note_failure(listings_[index].failure, answer);
      }
    }
    ask_more(index);
    if (state.ended && state.asked == 0) {
      round_.close(state.handle);
      done();
    }
  }

  void done() {
    if (next_ < paths_.size()) {
      open_next();
    }
  }

  SftpRound& round_;
  const std::span<const std::string> paths_;
  std::vector<Listing> listings_;
  std::vector<State> states_;
  size_t next_ = 0;
};

std::vector<SftpRound::Listing> SftpRound::list(const Context& context,
                                                std::span<const std::string> paths) {
  DirectoryReader reader(*this, paths);
  wait(context);
  std::vector<Listing> listings = reader.take();
  follow_links(context, paths, listings);
  return listings;
}

// Of symbolic links, and where the server keeps sizes to itself, the attributes are asked for.
void SftpRound::follow_links(const Context& context, std::span<const std::string> paths,
                             std::vector<Listing>& listings) {
  std::vector<std::pair<SftpAttributes*, const SftpReply*>> asked;
  for (size_t i = 0; i < listings.size(); ++i) {
    for (SftpName& name : listings[i].names) {
      const SftpAttributes& known = name.attributes;
      if (!known.is_directory() && !(known.is_regular() && known.size_bytes)) {
        asked.emplace_back(&name.attributes, &stat(paths[i] + "/" + name.name));
      }
    }
  }
  if (asked.empty()) {
    return;
  }
  wait(context);
  for (const auto& [attributes, reply] : asked) {
    // Removed meanwhile, or pointing nowhere: neither file nor directory.
    *attributes = reply->type == SftpType::kAttributes
                      ? reply->attributes
                      : SftpAttributes{.size_bytes = {}, .mode = 0};
  }
}

}  // namespace salvor
