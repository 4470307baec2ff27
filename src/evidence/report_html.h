// The report of one drill as a page that a person likes to read (html.h says what kind of page).
#pragma once

#include <string>

#include "evidence/report_page.h"

namespace salvor {

// The same bytes for the same page.
[[nodiscard]] std::string report_html(const ReportPage& page);

}  // namespace salvor
