// PostgreSQL's client library, for the files that call it (base/late_library.h).
#pragma once

#include "base/late_library.h"

namespace salvor::postgres {

inline LateLibrary libpq{"libpq.so.5", "libpq5"};

}  // namespace salvor::postgres
