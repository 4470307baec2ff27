// The journal of a run copied into the repository while it grows, so that another machine can see
// how far the run came, and take it over.
//
//   salvor/plans/<run>-<first>      sealed like the journal area; whole lines of the run's journal,
//                                   from the entry with the number <first> on (8 digits)
//
// Each object begins where the one before ends, and an object is never replaced: of two machines
// that go on with one run only one can write the next object. The other one learns it, and stops.
//
// A plan does not wait for a repository that does not answer, and does not fail because of it.
// old_copies.h removes what nobody needs any more.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/context.h"
#include "repo/journal.h"
#include "repo/repository.h"

namespace salvor::plan {

class RunMirror {
 public:
  using Use = std::function<void(const Repository& repository)>;
  // Opens the repository, calls `use` with it and returns when that returns. Called on a thread of
  // the mirror's. Throws Error when the repository cannot be reached.
  using Connect = std::function<void(const Context& context, const Use& use)>;
  // A sentence for people. From any thread.
  using Say = std::function<void(const std::string& text)>;

  // `context` without its stop token: what a Ctrl-C ends is worth keeping, too. All must outlive
  // the mirror.
  // `lines`: what the journal holds already, without newlines.
  RunMirror(const Context& context, std::string run, const std::vector<std::string>& lines,
            Connect connect, Say warn);
  // As `close`.
  ~RunMirror();
  RunMirror(const RunMirror&) = delete;
  RunMirror& operator=(const RunMirror&) = delete;

  // The next line of the journal, without its newline. Quick.
  void add(std::string_view line);
  // Waits until everything so far is in the repository, or `limit` is over, or the repository was
  // slow before and has not caught up. Whether it is.
  bool settle(std::chrono::milliseconds limit = std::chrono::seconds(2));
  // Sends what is left, as long as the repository takes it (at most 15 s), and ends. May be
  // repeated.
  void close();

  // Why this machine must not go on: another one has taken the run over. Empty: nobody has.
  [[nodiscard]] std::string lost() const;

 private:
  void work();
  void serve(const Repository& repository);
  void compare(const Repository& repository);
  // Under mutex_; false: close was called and nothing is left.
  [[nodiscard]] bool wait_for_lines(std::unique_lock<std::mutex>& lock);

  std::stop_source stop_;  // of the context that the mirror works under
  const Context context_;
  const std::string run_;
  const Connect connect_;
  const Say warn_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  size_t sent_ = 0;
  bool compared_ = false;  // with what the repository has of this run
  bool slow_ = false;
  bool closing_ = false;
  bool ended_ = false;
  std::string lost_;
  std::jthread thread_;  // last: it uses the others
};

// An object of a run's copy.
struct MirrorPiece {
  size_t first = 0;      // number of its first entry
  std::string position;  // in the area
};
// The area, and what it holds of the runs whose ids begin with `prefix`: by run, in order.
[[nodiscard]] Journal mirror_area(const Repository& repository);
[[nodiscard]] std::map<std::string, std::vector<MirrorPiece>> mirror_pieces(
    const Context& context, const Journal& area, const std::string& prefix);
// The journal as the pieces have it; one that cannot be read (told as a warning) or is missing ends
// it there.
[[nodiscard]] std::string mirrored_text(const Context& context, const Journal& area,
                                        const std::vector<MirrorPiece>& pieces);

struct MirroredRun {
  std::string run;   // id
  std::string text;  // the journal, as a file has it
};

// The runs whose journals are in the repository and whose ids begin with `prefix`. Objects that
// cannot be read end the run's text there. Throws Error when the repository cannot be listed.
[[nodiscard]] std::vector<MirroredRun> mirrored_runs(const Context& context,
                                                     const Repository& repository,
                                                     const std::string& prefix);

}  // namespace salvor::plan
