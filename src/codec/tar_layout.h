// Where the fields of a ustar header are (POSIX.1-2017, pax, "ustar Interchange Format").
#pragma once

#include <cstddef>

namespace salvor::tar_layout {

inline constexpr size_t kBlockSize = 512;

struct Field {
  size_t offset;
  size_t size;
};
inline constexpr Field kName{0, 100};
inline constexpr Field kMode{100, 8};
inline constexpr Field kUid{108, 8};
inline constexpr Field kGid{116, 8};
inline constexpr Field kSize{124, 12};
inline constexpr Field kModified{136, 12};
inline constexpr Field kChecksum{148, 8};
inline constexpr size_t kType = 156;
inline constexpr Field kLink{157, 100};
inline constexpr Field kMagic{257, 5};
inline constexpr Field kMagicAndVersion{257, 8};
inline constexpr Field kUser{265, 32};
inline constexpr Field kGroup{297, 32};
inline constexpr Field kPrefix{345, 155};

}  // namespace salvor::tar_layout
