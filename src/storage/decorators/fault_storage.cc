#include "storage/decorators/fault_storage.h"

#include <condition_variable>

namespace salvor {
namespace {

Error fault_error(const Fault& fault) {
  Error error(fault.code, "storage fault (" + std::string(error_code_name(fault.code)) + ")");
  return error.advise(fault.advice);
}

// Waits unless stopped.
void wait_for(const Context& context, std::chrono::milliseconds delay) {
  if (delay.count() <= 0) {
    return;
  }
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, context.stop, delay, [] { return false; });
  context.check_stopped();
}

void flip_middle_bit(MutableBytes bytes) {
  if (!bytes.empty()) {
    bytes[bytes.size() / 2] ^= std::byte{1};
  }
}

Buffer joined(std::span<const ByteView> parts) {
  Buffer whole;
  whole.reserve(total_size(parts));
  for (const ByteView part : parts) {
    whole.append(part);
  }
  return whole;
}

}  // namespace

void FaultStorage::add(const Fault& fault) {
  const std::scoped_lock lock(mutex_);
  armed_.push_back({fault});
}

void FaultStorage::clear() {
  const std::scoped_lock lock(mutex_);
  armed_.clear();
  free_bytes_.reset();
}

void FaultStorage::set_free_bytes(uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  free_bytes_ = bytes;
}

uint64_t FaultStorage::calls(StorageCall call) const {
  return calls_.at(static_cast<size_t>(call));
}

FaultStorage::Hit FaultStorage::begin(const Context& context, StorageCall call, ObjectKind kind) {
  context.check_stopped();
  ++calls_.at(static_cast<size_t>(call));
  Hit hit;
  {
    const std::scoped_lock lock(mutex_);
    for (Armed& armed : armed_) {
      const Fault& fault = armed.fault;
      if ((fault.call && *fault.call != call) || (fault.kind && *fault.kind != kind)) {
        continue;
      }
      ++armed.seen;
      if (!hit.fault && armed.seen >= fault.nth && armed.seen - fault.nth < fault.count) {
        hit.fault = fault;
      }
    }
  }
  if (hit.fault) {
    ++hit_;
    wait_for(context, hit.fault->delay);
  }
  if (hit.fault && hit.fault->effect == FaultEffect::kFailBefore) {
    throw fault_error(*hit.fault);
  }
  return hit;
}

void FaultStorage::end(const Hit& hit) {
  if (hit.fault && (hit.fault->effect == FaultEffect::kLoseReply ||
                    hit.fault->effect == FaultEffect::kTearWrite)) {
    throw fault_error(*hit.fault);
  }
}

void FaultStorage::take_space(const Context& context, const ObjectName& object,
                              uint64_t size_bytes) {
  {
    const std::scoped_lock lock(mutex_);
    if (!free_bytes_) {
      return;
    }
  }
  const bool present = base_->stat(context, object).has_value();
  const std::scoped_lock lock(mutex_);
  if (!free_bytes_ || present) {
    return;
  }
  if (*free_bytes_ < size_bytes) {
    ++hit_;
    throw Error(ErrorCode::kStorageFull,
                "cannot write " + object.display() + ": no space left on device");
  }
  *free_bytes_ -= size_bytes;
}

void FaultStorage::create(const Context& context) {
  const Hit hit = begin(context, StorageCall::kCreate, ObjectKind::kConfig);
  base_->create(context);
  end(hit);
}

void FaultStorage::put(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts) {
  const Hit hit = begin(context, StorageCall::kPut, object.kind);
  check_call(context, object);
  take_space(context, object, total_size(parts));
  if (hit.is(FaultEffect::kTearWrite) || hit.is(FaultEffect::kFlipBit)) {
    Buffer whole = joined(parts);
    if (hit.is(FaultEffect::kTearWrite)) {
      whole.resize(whole.size() / 2);
    } else {
      flip_middle_bit(whole.bytes());
    }
    base_->put(context, object, whole.view());
  } else {
    base_->put(context, object, parts);
  }
  end(hit);
}

void FaultStorage::replace_config(const Context& context, ByteView bytes) {
  const Hit hit = begin(context, StorageCall::kReplaceConfig, ObjectKind::kConfig);
  Buffer copy = Buffer::copy_of(bytes);
  if (hit.is(FaultEffect::kTearWrite)) {
    copy.resize(copy.size() / 2);
  } else if (hit.is(FaultEffect::kFlipBit)) {
    flip_middle_bit(copy.bytes());
  }
  take_space(context, {ObjectKind::kConfig, {}}, copy.size());
  base_->replace_config(context, copy.view());
  end(hit);
}

Buffer FaultStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  const Hit hit = begin(context, StorageCall::kGet, object.kind);
  Buffer content = base_->get(context, object, limit_bytes);
  if (hit.is(FaultEffect::kFlipBit)) {
    flip_middle_bit(content.bytes());
  }
  end(hit);
  return content;
}

void FaultStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                             MutableBytes out) {
  const Hit hit = begin(context, StorageCall::kGetRange, object.kind);
  base_->get_range(context, object, offset, out);
  if (hit.is(FaultEffect::kFlipBit)) {
    flip_middle_bit(out);
  }
  end(hit);
}

std::optional<ObjectInfo> FaultStorage::stat(const Context& context, const ObjectName& object) {
  const Hit hit = begin(context, StorageCall::kStat, object.kind);
  auto info = base_->stat(context, object);
  end(hit);
  return info;
}

void FaultStorage::list(const Context& context, ObjectKind kind,
                        const std::function<void(const ObjectInfo&)>& on_object) {
  const Hit hit = begin(context, StorageCall::kList, kind);
  base_->list(context, kind, on_object);
  end(hit);
}

void FaultStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                               const std::function<void(const ObjectInfo&)>& on_object) {
  const Hit hit = begin(context, StorageCall::kList, kind);
  base_->list_prefix(context, kind, prefix, on_object);
  end(hit);
}

void FaultStorage::remove(const Context& context, const ObjectName& object) {
  const Hit hit = begin(context, StorageCall::kRemove, object.kind);
  const auto before = base_->stat(context, object);
  base_->remove(context, object);
  if (before) {
    const std::scoped_lock lock(mutex_);
    if (free_bytes_) {
      *free_bytes_ += before->size_bytes;
    }
  }
  end(hit);
}

}  // namespace salvor
