#include "storage/decorators/recording_storage.h"

#include <algorithm>
#include <fstream>

#include "storage/local/local_storage.h"

namespace salvor {

namespace {

constexpr ObjectKind kAllKinds[] = {ObjectKind::kConfig,   ObjectKind::kKey,   ObjectKind::kLock,
                                    ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kPack,
                                    ObjectKind::kSalvor};

struct Mutation {
  ObjectName object;
  ObjectBytes bytes;  // null: a removal
  bool replaces = false;
  bool happened = false;  // known at its end
};

struct Moment {
  enum class What : uint8_t { kBegin, kEnd, kMark } what;
  size_t mutation = 0;  // or the number of the mark
};

using State = std::map<ObjectName, ObjectBytes>;

void apply_to(const Mutation& mutation, State& state) {
  if (mutation.bytes == nullptr) {
    state.erase(mutation.object);
  } else if (mutation.replaces) {
    state[mutation.object] = mutation.bytes;
  } else {
    state.emplace(mutation.object, mutation.bytes);  // create-if-absent
  }
}

ObjectBytes half_of(const ObjectBytes& bytes) {
  return std::make_shared<Buffer>(Buffer::copy_of(bytes->view(0, bytes->size() / 2)));
}

void write_file(const std::filesystem::path& path, ByteView bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) {
    throw Error(ErrorCode::kFailed, "cannot write " + path.string());
  }
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
}

}  // namespace

struct Recording {
  State start;
  std::vector<Mutation> mutations;
  std::vector<std::string> marks;
  std::vector<Moment> moments;
};

std::string Crash::label() const {
  std::string text = "after " + std::to_string(events_) + " of " +
                     std::to_string(recording_->moments.size()) + " events";
  for (const size_t index : under_way_) {
    const Mutation& mutation = recording_->mutations[index];
    const bool one = pending_ == Pending::kOneHappened && index == happened_;
    const char* fate = pending_ == Pending::kHappened || one ? "happened"
                       : pending_ == Pending::kTorn          ? "torn"
                       : pending_ == Pending::kTemporary     ? "temporary file"
                                                             : "dropped";
    text += std::string(", ") + (mutation.bytes == nullptr ? "remove " : "put ") +
            mutation.object.display() + " under way: " + fate;
  }
  return text;
}

bool Crash::has_mark(std::string_view mark) const {
  return std::any_of(
      recording_->moments.begin(), recording_->moments.begin() + static_cast<ptrdiff_t>(events_),
      [&](const Moment& moment) {
        return moment.what == Moment::What::kMark && recording_->marks[moment.mutation] == mark;
      });
}

bool Crash::is_durable(const ObjectName& object) const {
  bool durable = recording_->start.contains(object);
  for (size_t i = 0; i < events_; ++i) {
    const Moment& moment = recording_->moments[i];
    if (moment.what == Moment::What::kMark ||
        recording_->mutations[moment.mutation].object != object) {
      continue;
    }
    const Mutation& mutation = recording_->mutations[moment.mutation];
    if (mutation.bytes == nullptr) {
      durable = false;
    } else if (moment.what == Moment::What::kEnd) {
      durable = durable || mutation.happened;
    }
  }
  return durable;
}

std::map<ObjectName, ObjectBytes> Crash::objects() const {
  State state = recording_->start;
  for (size_t i = 0; i < events_; ++i) {
    const Moment& moment = recording_->moments[i];
    if (moment.what == Moment::What::kEnd && recording_->mutations[moment.mutation].happened) {
      apply_to(recording_->mutations[moment.mutation], state);
    }
  }
  for (const size_t index : under_way_) {
    Mutation mutation = recording_->mutations[index];
    if (pending_ == Pending::kHappened ||
        (pending_ == Pending::kOneHappened && index == happened_)) {
      apply_to(mutation, state);
    } else if (pending_ == Pending::kTorn && mutation.bytes != nullptr) {
      mutation.bytes = half_of(mutation.bytes);
      apply_to(mutation, state);
    }
  }
  return state;
}

void Crash::materialise(const std::filesystem::path& directory) const {
  std::filesystem::remove_all(directory);
  for (const char* name : {"data", "index", "keys", "locks", "snapshots"}) {
    std::filesystem::create_directories(directory / name);
  }
  for (const auto& [object, bytes] : objects()) {
    write_file(directory / local_path(object), bytes->view());
  }
  if (pending_ == Pending::kTemporary) {
    for (const size_t index : under_way_) {
      const Mutation& mutation = recording_->mutations[index];
      if (mutation.bytes != nullptr) {
        const std::string number = std::to_string(1'000'000'007 + index);
        write_file(directory / (local_path(mutation.object) + "-tmp-" + number),
                   half_of(mutation.bytes)->view());
      }
    }
  }
}

void Crash::materialise(const Context& context, Storage& storage) const {
  storage.create(context);
  for (const auto& [object, bytes] : objects()) {
    storage.put(context, object, bytes->view());
  }
}

RecordingStorage::RecordingStorage(const Context& context, std::unique_ptr<Storage> base)
    : ForwardingStorage(std::move(base)) {
  restart(context);
}

RecordingStorage::~RecordingStorage() = default;

void RecordingStorage::restart(const Context& context) {
  auto fresh = std::make_unique<Recording>();
  for (const ObjectKind kind : kAllKinds) {
    for (const ObjectInfo& info : base_->list_all(context, kind)) {
      const ObjectName object{kind, info.name};
      fresh->start.emplace(object, std::make_shared<Buffer>(base_->get(context, object)));
    }
  }
  const std::scoped_lock lock(mutex_);
  recording_ = std::move(fresh);
}

void RecordingStorage::mark(std::string label) {
  const std::scoped_lock lock(mutex_);
  recording_->moments.push_back({Moment::What::kMark, recording_->marks.size()});
  recording_->marks.push_back(std::move(label));
}

size_t RecordingStorage::begin(const ObjectName& object, ObjectBytes bytes, bool replaces) {
  const std::scoped_lock lock(mutex_);
  const size_t index = recording_->mutations.size();
  recording_->mutations.push_back({object, std::move(bytes), replaces});
  recording_->moments.push_back({Moment::What::kBegin, index});
  return index;
}

void RecordingStorage::end(size_t mutation, bool happened) {
  const std::scoped_lock lock(mutex_);
  recording_->mutations[mutation].happened = happened;
  recording_->moments.push_back({Moment::What::kEnd, mutation});
}

void RecordingStorage::put(const Context& context, const ObjectName& object,
                           std::span<const ByteView> parts) {
  check_call(context, object);
  auto bytes = std::make_shared<Buffer>();
  for (const ByteView part : parts) {
    bytes->append(part);
  }
  const ObjectBytes kept = bytes;
  const size_t mutation = begin(object, kept, false);
  try {
    base_->put(context, object, parts);
  } catch (...) {
    const auto info = base_->stat(context.with_stop({}), object);
    end(mutation, info && info->size_bytes == kept->size());
    throw;
  }
  end(mutation, true);
}

void RecordingStorage::replace_config(const Context& context, ByteView bytes) {
  context.check_stopped();
  const ObjectName object{ObjectKind::kConfig, {}};
  const auto kept = std::make_shared<const Buffer>(Buffer::copy_of(bytes));
  const size_t mutation = begin(object, kept, true);
  try {
    base_->replace_config(context, bytes);
  } catch (...) {
    const Context asking = context.with_stop({});
    end(mutation, base_->stat(asking, object).has_value() &&
                      std::ranges::equal(base_->get(asking, object).view(), kept->view()));
    throw;
  }
  end(mutation, true);
}

void RecordingStorage::remove(const Context& context, const ObjectName& object) {
  check_call(context, object);
  const size_t mutation = begin(object, nullptr, false);
  try {
    base_->remove(context, object);
  } catch (...) {
    end(mutation, !base_->stat(context.with_stop({}), object).has_value());
    throw;
  }
  end(mutation, true);
}

std::vector<Crash> RecordingStorage::crashes(bool torn_in_place) const {
  std::shared_ptr<const Recording> recording;
  {
    const std::scoped_lock lock(mutex_);
    recording = std::make_shared<Recording>(*recording_);
  }
  std::vector<Crash> crashes;
  Crash crash;
  crash.recording_ = recording;
  const auto add = [&](Crash::Pending pending, size_t happened = 0) {
    crash.pending_ = pending;
    crash.happened_ = happened;
    crashes.push_back(crash);
  };
  const std::vector<Moment>& moments = recording->moments;
  for (size_t at = 0; at <= moments.size(); ++at) {
    crash.events_ = at;
    const bool began = at > 0 && moments[at - 1].what == Moment::What::kBegin;
    if (began) {
      crash.under_way_.push_back(moments[at - 1].mutation);
    } else if (at > 0 && moments[at - 1].what == Moment::What::kEnd) {
      std::erase(crash.under_way_, moments[at - 1].mutation);
    }
    if (at < moments.size() && moments[at].what == Moment::What::kMark) {
      continue;  // the same state just after the mark promises more
    }
    // Of a call that has only begun and not happened nothing is to be seen: the state before it.
    if (!began) {
      add(Crash::Pending::kDropped);
    }
    if (crash.under_way_.empty()) {
      continue;
    }
    add(Crash::Pending::kTemporary);
    add(Crash::Pending::kHappened);
    if (torn_in_place) {
      add(Crash::Pending::kTorn);
    }
    if (crash.under_way_.size() > 1) {
      for (const size_t index : crash.under_way_) {
        add(Crash::Pending::kOneHappened, index);
      }
    }
  }
  return crashes;
}

}  // namespace salvor
