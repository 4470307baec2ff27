#include "plan/old_copies.h"

#include <span>
#include <vector>

#include "base/error.h"
#include "plan/run_mirror.h"
#include "plan/run_state.h"

namespace salvor::plan {
namespace {

bool is_old(const Context& context, const Journal& area, const std::string& run,
            const std::vector<MirrorPiece>& pieces) {
  if (pieces.front().first != 1) {
    return true;  // the rest of one whose removal was cut off: see below
  }
  try {
    const JournalContent content = parse_journal(mirrored_text(context, area, pieces), run);
    return !content.entries.empty() && RunState::of(content).over() &&
           content.entries.back().time + kCopyKept <= context.clock.now();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    return false;
  }
}

}  // namespace

RemovedCopies remove_old_copies(const Context& context, const Repository& repository,
                                const std::function<bool(const std::string& run)>& recorded) {
  const Journal area = mirror_area(repository);
  RemovedCopies removed;
  for (const auto& [run, pieces] : mirror_pieces(context, area, {})) {
    context.check_stopped();
    if (!recorded(run) || !is_old(context, area, run, pieces)) {
      continue;
    }
    std::vector<std::string> positions;
    for (const MirrorPiece& piece : pieces) {
      positions.push_back(piece.position);
    }
    // The beginning first: without it the rest is no run that somebody could take for unfinished.
    const std::span all(positions);
    area.remove(context, all.first(1));
    area.remove(context, all.subspan(1));
    ++removed.runs;
    removed.objects += positions.size();
  }
  return removed;
}

}  // namespace salvor::plan
