#include "connector/postgres/logical/copy_files.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace salvor::postgres {
namespace {

// Unknown, but to be read at once and piece by piece; the engine counts what it reads.
constexpr uint64_t kPlenty = uint64_t{1} << 40;

// "COPY 1234"
uint64_t row_count(const std::string& tag) {
  uint64_t rows = 0;
  const size_t space = tag.rfind(' ');
  if (space != std::string::npos) {
    std::from_chars(tag.data() + space + 1, tag.data() + tag.size(), rows);
  }
  return rows;
}

}  // namespace

class CopyFiles::Reader final : public ByteReader {
 public:
  Reader(std::shared_ptr<CopyFiles> files, Context context, size_t number, std::string command,
         std::string what)
      : files_(std::move(files)),
        context_(std::move(context)),
        number_(number),
        command_(std::move(command)),
        what_(std::move(what)) {}

  size_t read(MutableBytes out) override {
    try {
      return read_rows(out);
    } catch (Error& error) {
      connection_.reset();
      if (error.code() != ErrorCode::kCancelled) {
        files_->failed(error.within(what_));
      }
      throw cancelled();  // whoever waits for all files tells the cause
    }
  }
  void refresh(Node& node) override { (void)node; }
  bool changed_since_refresh() override { return false; }

 private:
  size_t read_rows(MutableBytes out) {
    if (ended_) {
      return 0;
    }
    if (!connection_) {
      connection_ = files_->session_.borrow(context_);
      connection_->begin(context_, command_);
      if (connection_->next(context_) != Step::kCopyOut) {
        throw Error(ErrorCode::kFailed, "the server does not copy");
      }
    }
    size_t filled = 0;
    while (filled < out.size()) {
      if (row_.empty()) {
        const auto next = connection_->receive(context_);
        if (!next) {
          finish();
          break;
        }
        row_ = *next;
        continue;
      }
      const size_t part = std::min(out.size() - filled, row_.size());
      std::memcpy(out.data() + filled, row_.data(), part);
      row_ = row_.subspan(part);
      filled += part;
    }
    result_.bytes += filled;
    return filled;
  }
  // The copy is complete only when the server says so.
  void finish() {
    if (connection_->next(context_) != Step::kDone) {
      throw Error(ErrorCode::kFailed, "the server did not end its copy");
    }
    result_.rows = row_count(connection_->result().command);
    if (connection_->next(context_) != Step::kEnd) {
      throw Error(ErrorCode::kFailed, "the server sent more than one copy");
    }
    ended_ = true;
    files_->session_.give_back(std::move(connection_));
    // The engine reads once more to see the end; what it has by then is counted here.
    done_pending_ = true;
  }

 public:
  ~Reader() override {
    if (done_pending_) {
      files_->done(number_, result_);
    }
  }

 private:
  const std::shared_ptr<CopyFiles> files_;
  const Context context_;
  const size_t number_;
  const std::string command_;
  const std::string what_;
  std::unique_ptr<Connection> connection_;
  ByteView row_;
  CopyResult result_;
  bool ended_ = false;
  bool done_pending_ = false;
};

class CopyFiles::Opener final : public FileOpener {
 public:
  Opener(std::shared_ptr<CopyFiles> files, Context context, size_t number, std::string command,
         std::string what)
      : files_(std::move(files)),
        context_(std::move(context)),
        number_(number),
        command_(std::move(command)),
        what_(std::move(what)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override {
    (void)node;
    return std::make_unique<Reader>(files_, context_, number_, command_, what_);
  }
  std::string path_of(const Node& node) const override { return what_ + " (" + node.name + ")"; }

 private:
  const std::shared_ptr<CopyFiles> files_;
  const Context context_;
  const size_t number_;
  const std::string command_;
  const std::string what_;
};

size_t CopyFiles::add(const Context& context, TreeSink& sink, TreeSink::Directory* directory,
                      Node node, std::string command, std::string what) {
  size_t number = 0;
  {
    const std::scoped_lock lock(mutex_);
    number = results_.size();
    results_.emplace_back();
    ++open_;
  }
  node.size = kPlenty;
  sink.add_file(directory, std::move(node),
                std::make_shared<Opener>(shared_from_this(), context, number, std::move(command),
                                         std::move(what)));
  return number;
}

void CopyFiles::done(size_t number, const CopyResult& result) {
  const std::scoped_lock lock(mutex_);
  results_[number] = result;
  --open_;
  changed_.notify_all();
}

void CopyFiles::failed(const Error& error) {
  const std::scoped_lock lock(mutex_);
  if (!failure_) {
    failure_ = error;
  }
  changed_.notify_all();
}

void CopyFiles::wait(const Context& context) {
  std::unique_lock lock(mutex_);
  const bool ended =
      changed_.wait(lock, context.stop, [this] { return open_ == 0 || failure_.has_value(); });
  if (failure_) {
    throw Error(*failure_);
  }
  if (!ended) {
    throw cancelled();
  }
}

void CopyFiles::rethrow_cause() const {
  try {
    throw;
  } catch (const Error& error) {
    const std::scoped_lock lock(mutex_);
    if (failure_ && error.code() == ErrorCode::kCancelled) {
      throw Error(*failure_);
    }
    throw;
  }
}

}  // namespace salvor::postgres
