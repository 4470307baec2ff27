// scrypt (RFC 7914) for restic's key files.
//
// Opening a repository costs restic about 500 ms, half of an unchanged backup. The p blocks of
// scrypt are independent: they are run side by side, several in the lanes of one vector register
// and on several threads, with identical results.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "model/key_material.h"

namespace salvor {

// restic's limits (facts 2.1), and a memory bound: N * r * 128 <= 1 GiB, r * p < 2^30, so that a
// hostile key file cannot exhaust the machine.
[[nodiscard]] bool acceptable(const ScryptParameters& parameters);

// Fills `out`. Throws Error when the parameters are not acceptable or memory runs out. Uses up to
// `threads` threads and about threads * lanes * N * r * 128 bytes, but never more than 256 MiB
// unless one lane alone needs it. Intermediate memory is wiped.
void scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters, MutableBytes out,
            unsigned threads);

// restic's default: the cost that its calibration gives (N 32768, r 8) with p raised until one
// *restic-like single-threaded portable* evaluation takes about `target_ms`; never below p = 1.
// New keys made by Salvor are as strong as restic's although we open them faster.
[[nodiscard]] ScryptParameters calibrated_scrypt_parameters(unsigned target_ms = 500);

}  // namespace salvor
