// Reads files, cuts them into chunks and stores the chunks that are new.
//
//   save -> reader threads -> (bytes, under the memory budget) -> CPU tasks: hash, claim, compress,
//   seal
//
// Small files travel in batches of about a megabyte: one task, one lease and interleaved hashing
// for dozens of files. A large file is read in pieces by one reader; its chunks are stored by all
// CPU threads.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/buffer_pool.h"
#include "base/context.h"
#include "base/memory_budget.h"
#include "base/task.h"
#include "chunk/chunker.h"
#include "connector/source.h"
#include "engine/backup/backup_progress.h"
#include "engine/backup/writer_pool.h"

namespace salvor {

// What a file's result is for; opaque to the saver.
struct FileTicket {
  void* directory = nullptr;
  size_t slot = 0;
};

// Receives results, on any thread.
class FileReceiver {
 public:
  virtual ~FileReceiver() = default;
  // `node` has its content and the metadata that it had when it was opened.
  virtual void file_saved(FileTicket ticket, Node node) = 0;
  // It could not be read and has been reported.
  virtual void file_failed(FileTicket ticket) = 0;
};

struct FileSaverOptions {
  unsigned read_concurrency;
  size_t memory_bytes;  // of file content under way
};

// `save` may be called from several threads; the receiver must outlive the saver.
class FileSaver {
 public:
  FileSaver(const Context& context, const ChunkerTables& tables, WriterPool& writers,
            TaskGroup& cpu, FileReceiver& receiver, BackupProgress& progress,
            const FileSaverOptions& options);
  ~FileSaver();

  // Blocks while too much is queued.
  void save(FileTicket ticket, Node node, std::shared_ptr<FileOpener> opener);
  // Hands on the batch that is still being collected and waits until all files have been read (CPU
  // tasks may still be under way: wait for `cpu` next).
  void finish_reading();

 private:
  struct Job {
    FileTicket ticket;
    Node node;
    std::shared_ptr<FileOpener> opener;
  };
  struct SmallFile;
  struct SmallBatch;
  struct LargeFile;
  struct Piece;

  void start_batch(std::vector<Job> jobs);
  void read_batch(std::vector<Job> jobs);
  [[nodiscard]] bool read_small(Job& job, SmallBatch& batch);
  void store_batch(SmallBatch& batch);
  void read_large(Job job);
  void read_parts(const Job& job);
  void send_parts(PartReader& reader, const std::shared_ptr<LargeFile>& file);
  void read_pieces(ByteReader& reader, const std::shared_ptr<LargeFile>& file);
  void send_piece(const std::shared_ptr<LargeFile>& file, Piece piece);
  void store_piece(const std::shared_ptr<LargeFile>& file, Piece& piece);
  void release(const std::shared_ptr<LargeFile>& file);
  void report(const Job& job, const Error& error);
  void report_changed(const FileOpener& opener, const Node& node);

  const Context context_;
  const ChunkerTables& tables_;
  WriterPool& writers_;
  TaskGroup& cpu_;
  FileReceiver& receiver_;
  BackupProgress& progress_;
  MemoryBudget budget_;
  BufferPool buffers_;
  std::mutex mutex_;  // guards collecting_
  std::vector<Job> collecting_;
  uint64_t collecting_bytes_ = 0;
  ThreadPool reader_pool_;
  TaskGroup readers_;
};

}  // namespace salvor
