// Shared libraries that are loaded when the first of their functions is called.
//
// libcurl, libpq and libarchive bring 36 more libraries with them. Linked in the usual way they
// cost every start half of its time, and most commands use none of them: `wal push` runs for
// each segment that a server writes. So their functions are declared once more, as objects with
// their names, in the one namespace that uses them, where they hide the library's own:
//
//   namespace salvor {
//   namespace {
//   LateLibrary libcurl{"libcurl.so.4", "libcurl4"};
//   SALVOR_LATE(libcurl, curl_easy_init);
//
// and calls stay as they were. A function that is not declared so does not link: nothing is bound
// late by accident. The types are those of the library's header; its ABI is the one of its soname.
#pragma once

#include <atomic>
#include <mutex>

namespace salvor {

// Thread-safe. Never unloaded.
class LateLibrary {
 public:
  // `soname` as the loader looks it up; `package`: Debian's, for the message when it is not there.
  // Both must outlive it.
  constexpr LateLibrary(const char* soname, const char* package)
      : soname_(soname), package_(package) {}

  // The address of a function. Throws Error{kFailed} when library or function are not there.
  [[nodiscard]] void* find(const char* function);

 private:
  const char* const soname_;
  const char* const package_;
  std::mutex mutex_;
  void* handle_ = nullptr;  // guarded by mutex_
};

// A function of a LateLibrary. Thread-safe. Converts to a pointer where one is wanted.
template <class Function>
class LateFunction {
 public:
  constexpr LateFunction(LateLibrary& library, const char* name) : library_(library), name_(name) {}

  template <class... Arguments>
  auto operator()(Arguments... arguments) const {
    return address()(arguments...);
  }
  operator Function*() const { return address(); }  // NOLINT(google-explicit-constructor)

 private:
  Function* address() const {
    void* known = address_.load(std::memory_order_acquire);
    if (known == nullptr) {
      known = library_.find(name_);
      address_.store(known, std::memory_order_release);
    }
    return reinterpret_cast<Function*>(known);
  }

  LateLibrary& library_;
  const char* const name_;
  mutable std::atomic<void*> address_ = nullptr;
};

}  // namespace salvor

// Declares the library's function `name` as one that is found when it is first called.
#define SALVOR_LATE(library, name)                      \
  const ::salvor::LateFunction<decltype(::name)> name { \
    library, #name                                      \
  }
