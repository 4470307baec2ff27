#include "engine/backup/file_saver.h"

#include <algorithm>

namespace salvor {
namespace {

constexpr uint64_t kSmallFile = kChunkMin;  // files below this are one chunk and need no chunker
constexpr uint64_t kBatchBytes = uint64_t{1} << 20;
constexpr size_t kBatchFiles = 256;
constexpr size_t kPieceBytes = size_t{2} << 20;  // of a large file handed to one CPU task
constexpr size_t kQueuedReads = 32;

}  // namespace

struct FileSaver::SmallFile {
  FileTicket ticket;
  Node node;
  size_t begin = 0;  // in the batch's bytes
};

struct FileSaver::SmallBatch {
  MemoryBudget::Lease lease;
  Buffer bytes;
  std::vector<SmallFile> files;
};

// A large file whose chunks are being stored; the last piece (and the reader itself) to let go
// delivers it.
struct FileSaver::LargeFile {
  FileTicket ticket;
  Node node;
  std::shared_ptr<FileOpener> opener;
  std::mutex mutex;  // guards content, pending
  std::vector<BlobId> content;
  size_t pending = 1;  // the reader, and each piece under way
  bool failed = false;
};

// Whole chunks of a large file.
struct FileSaver::Piece {
  MemoryBudget::Lease lease;
  Buffer bytes;
  std::vector<size_t> ends;    // of the chunks, in bytes
  size_t first_chunk = 0;      // their place in the file's content
  std::vector<size_t> places;  // the same for chunks that are not one behind the other
  [[nodiscard]] size_t place(size_t chunk) const {
    return places.empty() ? first_chunk + chunk : places[chunk];
  }
};

FileSaver::FileSaver(const Context& context, const ChunkerTables& tables, WriterPool& writers,
                     TaskGroup& cpu, FileReceiver& receiver, BackupProgress& progress,
                     const FileSaverOptions& options)
    : context_(context),
      tables_(tables),
      writers_(writers),
      cpu_(cpu),
      receiver_(receiver),
      progress_(progress),
      budget_(options.memory_bytes),
      buffers_(options.memory_bytes / kPieceBytes, 2 * kPieceBytes),
      reader_pool_("salvor-read", options.read_concurrency),
      readers_(reader_pool_, cpu.stop_token(), kQueuedReads) {}

FileSaver::~FileSaver() = default;

void FileSaver::save(FileTicket ticket, Node node, std::shared_ptr<FileOpener> opener) {
  Job job{ticket, std::move(node), std::move(opener)};
  if (job.opener->in_parts()) {
    readers_.run([this, job = std::move(job)] { read_parts(job); });
    return;
  }
  if (job.node.size >= kSmallFile) {
    readers_.run([this, job = std::move(job)]() mutable { read_large(std::move(job)); });
    return;
  }
  std::vector<Job> full;
  {
    const std::scoped_lock lock(mutex_);
    collecting_bytes_ += job.node.size;
    collecting_.push_back(std::move(job));
    if (collecting_bytes_ >= kBatchBytes || collecting_.size() >= kBatchFiles) {
      full.swap(collecting_);
      collecting_bytes_ = 0;
    }
  }
  if (!full.empty()) {
    start_batch(std::move(full));
  }
}

void FileSaver::start_batch(std::vector<Job> jobs) {
  readers_.run([this, jobs = std::move(jobs)]() mutable { read_batch(std::move(jobs)); });
}

void FileSaver::finish_reading() {
  std::vector<Job> rest;
  {
    const std::scoped_lock lock(mutex_);
    rest.swap(collecting_);
  }
  if (!rest.empty()) {
    start_batch(std::move(rest));
  }
  readers_.wait();
}

void FileSaver::report(const Job& job, const Error& error) {
  if (error.code() == ErrorCode::kCancelled) {
    throw error;
  }
  ++progress_.errors;
  const bool vanished = error.code() == ErrorCode::kNotFound;
  context_.events.on(ItemFailed{
      "read", job.opener->path_of(job.node),
      vanished ? "the file vanished before it could be read" : error.message(), error.hint()});
  receiver_.file_failed(job.ticket);
}

void FileSaver::report_changed(const FileOpener& opener, const Node& node) {
  ++progress_.errors;
  context_.events.on(
      ItemFailed{"read", opener.path_of(node),
                 "the file was changed while it was read; it is stored as it was read",
                 "Back it up from a file system snapshot, or when it is not in use."});
}

// False when the file turns out to be large; it is then read as such.
bool FileSaver::read_small(Job& job, SmallBatch& batch) {
  const std::unique_ptr<ByteReader> reader = job.opener->open(job.node);
  reader->refresh(job.node);
  if (job.node.size >= kSmallFile) {
    return false;
  }
  const size_t begin = batch.bytes.size();
  for (;;) {
    const size_t have = batch.bytes.size() - begin;
    // One byte more than expected shows growth without another call.
    const size_t room = job.node.size >= have ? job.node.size - have + 1 : size_t{64} << 10;
    const MutableBytes space = batch.bytes.extend(room);
    const size_t got = reader->read(space);
    batch.bytes.resize(begin + have + got);
    if (got == 0 || (got < room && have + got == job.node.size)) {
      break;
    }
    if (have + got >= kSmallFile) {
      batch.bytes.resize(begin);
      return false;
    }
  }
  if (reader->changed_since_refresh()) {
    report_changed(*job.opener, job.node);
  }
  job.node.size = batch.bytes.size() - begin;
  progress_.bytes_done += job.node.size;
  batch.files.push_back({job.ticket, std::move(job.node), begin});
  return true;
}

void FileSaver::read_batch(std::vector<Job> jobs) {
  SmallBatch batch;
  uint64_t expected = 0;
  for (const Job& job : jobs) {
    expected += job.node.size + 1;
  }
  {
    const StageTimer timer(context_.profile, Stage::kWaitMemory);
    batch.lease = budget_.acquire(expected, readers_.stop_token());
  }
  std::vector<Job> large;
  {
    StageTimer timer(context_.profile, Stage::kRead);
    batch.bytes = buffers_.take();
    batch.bytes.reserve(expected);
    batch.files.reserve(jobs.size());
    for (Job& job : jobs) {
      const size_t begin = batch.bytes.size();
      try {
        if (!read_small(job, batch)) {
          large.push_back(std::move(job));
        }
      } catch (const Error& error) {
        batch.bytes.resize(begin);
        report(job, error);
      }
    }
    timer.add_bytes(batch.bytes.size());
  }
  cpu_.run([this, batch = std::move(batch)]() mutable { store_batch(batch); });
  for (Job& job : large) {
    read_large(std::move(job));
  }
}

void FileSaver::store_batch(SmallBatch& batch) {
  std::vector<ByteView> messages;
  messages.reserve(batch.files.size());
  for (const SmallFile& file : batch.files) {
    messages.push_back(batch.bytes.view(file.begin, file.node.size));
  }
  {
    WriterPool::Loan writer = writers_.borrow();
    const std::vector<Digest> digests = writer->hash(messages);
    for (size_t i = 0; i < batch.files.size(); ++i) {
      Node& node = batch.files[i].node;
      node.content.clear();
      if (!messages[i].empty()) {
        node.content.push_back(BlobId(digests[i]));
        writer->add(BlobType::kData, node.content[0], messages[i]);
      }
    }
  }
  buffers_.give_back(std::move(batch.bytes));
  batch.lease.release();
  for (SmallFile& file : batch.files) {
    receiver_.file_saved(file.ticket, std::move(file.node));
  }
}

void FileSaver::read_large(Job job) {
  auto file = std::make_shared<LargeFile>();
  try {
    const std::unique_ptr<ByteReader> reader = job.opener->open(job.node);
    reader->refresh(job.node);
    file->ticket = job.ticket;
    file->node = job.node;
    file->opener = job.opener;
    read_pieces(*reader, file);
    if (reader->changed_since_refresh()) {
      report_changed(*job.opener, job.node);
    }
  } catch (const Error& error) {
    {
      const std::scoped_lock lock(file->mutex);
      file->failed = true;
    }
    if (file->opener == nullptr) {
      report(job, error);  // never opened: nothing else refers to it
      return;
    }
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    ++progress_.errors;
    context_.events.on(
        ItemFailed{"read", job.opener->path_of(job.node), error.message(), error.hint()});
  }
  release(file);
}

// Reads to the end, sending whole chunks on as soon as a piece is full.
void FileSaver::read_pieces(ByteReader& reader, const std::shared_ptr<LargeFile>& file) {
  Chunker chunker(tables_);
  std::vector<uint64_t> cuts;  // absolute offsets found by the chunker, not yet sent
  uint64_t piece_offset = 0;   // absolute offset of piece.bytes[0]
  size_t chunks_sent = 0;
  bool end = false;
  Piece piece;
  file->node.size = 0;
  while (!end) {
    if (piece.bytes.capacity() == 0) {
      piece.bytes = buffers_.take();
    }
    if (piece.lease.bytes() == 0) {
      const StageTimer timer(context_.profile, Stage::kWaitMemory);
      piece.lease = budget_.acquire(kPieceBytes, readers_.stop_token());
    }
    // Fill up to the piece size; a chunk longer than that makes the piece longer.
    while (!end && (piece.bytes.size() < kPieceBytes || cuts.empty())) {
      const size_t have = piece.bytes.size();
      const MutableBytes space = piece.bytes.extend(size_t{1} << 20);
      size_t got = 0;
      {
        StageTimer timer(context_.profile, Stage::kRead);
        got = reader.read(space);
        timer.add_bytes(got);
      }
      piece.bytes.resize(have + got);
      end = got == 0;
      progress_.bytes_done += got;
      file->node.size += got;
      const StageTimer timer(context_.profile, Stage::kChunk, got);
      chunker.feed(space.first(got), cuts);
    }
    if (end && piece_offset + piece.bytes.size() > (cuts.empty() ? piece_offset : cuts.back())) {
      cuts.push_back(piece_offset + piece.bytes.size());
    }
    if (cuts.empty()) {
      break;  // an empty file, or one that ended on the last piece's border
    }
    // What follows the last cut begins the next piece.
    Piece next;
    const auto whole = static_cast<size_t>(cuts.back() - piece_offset);
    if (!end) {
      next.bytes = buffers_.take();
      next.bytes.append(piece.bytes.view().subspan(whole));
    }
    for (const uint64_t cut : cuts) {
      piece.ends.push_back(static_cast<size_t>(cut - piece_offset));
    }
    piece.first_chunk = chunks_sent;
    chunks_sent += cuts.size();
    piece_offset = cuts.back();
    cuts.clear();
    send_piece(file, std::move(piece));
    piece = std::move(next);
  }
}

// A file that its source has cut. Such files stand for others (what was rebuilt from an earlier
// snapshot), so one that cannot be read fails the run instead of being left out.
void FileSaver::read_parts(const Job& job) {
  auto file = std::make_shared<LargeFile>();
  file->ticket = job.ticket;
  file->node = job.node;
  file->opener = job.opener;
  try {
    const std::unique_ptr<PartReader> reader = job.opener->open_parts(job.node);
    send_parts(*reader, file);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCancelled) {  // that is a consequence, not the cause
      cpu_.fail(std::current_exception());
    }
    throw;
  } catch (...) {
    cpu_.fail(std::current_exception());
    throw;
  }
  release(file);
}

void FileSaver::send_parts(PartReader& reader, const std::shared_ptr<LargeFile>& file) {
  file->node.size = 0;
  size_t count = 0;
  for (bool end = false; !end;) {
    Piece piece;
    piece.bytes = buffers_.take();
    {
      const StageTimer timer(context_.profile, Stage::kWaitMemory);
      piece.lease = budget_.acquire(kPieceBytes, readers_.stop_token());
    }
    StageTimer timer(context_.profile, Stage::kRead);
    while (piece.bytes.size() < kPieceBytes) {
      const std::optional<PartReader::Part> part = reader.next(piece.bytes);
      if (!part) {
        end = true;
        break;
      }
      progress_.bytes_done += part->size;
      file->node.size += part->size;
      if (part->stored) {
        const std::scoped_lock lock(file->mutex);
        file->content.resize(std::max(file->content.size(), count + 1));
        file->content[count] = *part->stored;
      } else {
        piece.ends.push_back(piece.bytes.size());
        piece.places.push_back(count);
      }
      ++count;
    }
    timer.add_bytes(piece.bytes.size());
    if (piece.ends.empty()) {
      buffers_.give_back(std::move(piece.bytes));
    } else {
      send_piece(file, std::move(piece));
    }
  }
}

void FileSaver::send_piece(const std::shared_ptr<LargeFile>& file, Piece piece) {
  {
    const std::scoped_lock lock(file->mutex);
    ++file->pending;
    file->content.resize(std::max(file->content.size(), piece.place(piece.ends.size() - 1) + 1));
  }
  cpu_.run([this, file, piece = std::move(piece)]() mutable {
    store_piece(file, piece);
    buffers_.give_back(std::move(piece.bytes));
    piece.lease.release();
    release(file);
  });
}

void FileSaver::store_piece(const std::shared_ptr<LargeFile>& file, Piece& piece) {
  std::vector<ByteView> messages;
  size_t begin = 0;
  for (const size_t chunk_end : piece.ends) {
    messages.push_back(piece.bytes.view(begin, chunk_end - begin));
    begin = chunk_end;
  }
  std::vector<Digest> digests;
  {
    WriterPool::Loan writer = writers_.borrow();
    digests = writer->hash(messages);
    for (size_t i = 0; i < messages.size(); ++i) {
      writer->add(BlobType::kData, BlobId(digests[i]), messages[i]);
    }
  }
  const std::scoped_lock lock(file->mutex);
  for (size_t i = 0; i < digests.size(); ++i) {
    file->content[piece.place(i)] = BlobId(digests[i]);
  }
}

void FileSaver::release(const std::shared_ptr<LargeFile>& file) {
  {
    const std::scoped_lock lock(file->mutex);
    if (--file->pending > 0) {
      return;
    }
  }
  if (file->failed) {
    receiver_.file_failed(file->ticket);
    return;
  }
  file->node.content = std::move(file->content);
  receiver_.file_saved(file->ticket, std::move(file->node));
}

}  // namespace salvor
