#include "protect/hooks.h"

#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "net/subprocess.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

std::string note_of(const std::string& state_directory, const std::string& source) {
  return state_directory + "/quiesced/" + source;
}

void write_note(const std::string& path) {
  const std::string folder = fs::path(path).parent_path();
  fs::create_directories(folder);
  const UniqueFd note(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!note || ::fsync(note.get()) != 0 || !directory || ::fsync(directory.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
}

void run_hook(const std::string& command, const std::string& which, const HookFacts& facts) {
  // The output is for people: results of ours go to stdout.
  Subprocess shell(
      {.arguments = {"sh", "-c", "eval \"$1\" >&2", "sh", command},
       .pipe_stdout = false,
       .ignore_interrupt = which == "resume" || which == "after" || which == "failure",
       .environment = {"SALVOR_SOURCE=" + facts.source, "SALVOR_HOOK=" + which,
                       "SALVOR_OUTCOME=" + facts.outcome, "SALVOR_SNAPSHOT=" + facts.snapshot}});
  const ExitState ended = shell.wait();
  if (!ended.success()) {
    throw Error(ErrorCode::kFailed, which + " hook of " + facts.source + " failed: " + ended.text(),
                "It is: " + printable(command));
  }
}

}  // namespace

void run_hooks(const std::vector<std::string>& commands, const std::string& which,
               const HookFacts& facts) {
  for (const std::string& command : commands) {
    run_hook(command, which, facts);
  }
}

void run_hooks_always(const Context& context, const std::vector<std::string>& commands,
                      const std::string& which, const HookFacts& facts) {
  for (const std::string& command : commands) {
    try {
      run_hook(command, which, facts);
    } catch (const Error& error) {
      context.events.on(Warning{error.message(), error.hint()});
    }
  }
}

Quiesced::Quiesced(const Context& context, std::string state_directory,
                   std::vector<const SourceSpec*> sources)
    : context_(context), state_directory_(std::move(state_directory)) {
  try {
    for (const SourceSpec* source : sources) {
      if (source->hooks.quiesce.empty()) {
        continue;
      }
      write_note(note_of(state_directory_, source->name));
      stopped_.push_back(source);
      run_hooks(source->hooks.quiesce, "quiesce", {.source = source->name});
    }
  } catch (...) {
    resume();
    throw;
  }
}

Quiesced::~Quiesced() {
  resume();
}

void Quiesced::resume() {
  for (auto source = stopped_.rbegin(); source != stopped_.rend(); ++source) {
    run_hooks_always(context_, (*source)->hooks.resume, "resume", {.source = (*source)->name});
    ::unlink(note_of(state_directory_, (*source)->name).c_str());
  }
  stopped_.clear();
}

std::vector<std::string> resume_left_over(const Context& context, const Application& application) {
  std::vector<std::string> resumed;
  for (const SourceSpec& source : application.sources) {
    const std::string note = note_of(application.state_directory, source.name);
    if (fs::exists(note)) {
      context.events.on(Warning{
          "a run was killed while writes of " + source.name + " were stopped; they are resumed now",
          {}});
      run_hooks_always(context, source.hooks.resume, "resume", {.source = source.name});
      ::unlink(note.c_str());
      resumed.push_back(source.name);
    }
  }
  return resumed;
}

}  // namespace salvor
