// The report of one drill as a PDF.
#pragma once

#include <string>

#include "evidence/report_page.h"

namespace salvor {

// `created`: the document's date (the drill's end, so that one report is one file). `font`: pdf.h.
[[nodiscard]] std::string report_pdf(const ReportPage& page, WallTime created,
                                     const std::string& font);

}  // namespace salvor
