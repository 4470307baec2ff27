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

// What is accepted from a key file, so that a hostile one cannot exhaust the machine: n a power of
// two > 1; n * r * 128 <= 1 GiB; r * p * 128 <= 64 MiB; n * r * p * 128 <= 64 GiB (about half a
// minute). Within restic's limits (facts 2.1), and far beyond what restic and rustic write (32 MiB,
// p <= 6).
[[nodiscard]] bool acceptable(const ScryptParameters& parameters);

// Fills `out`. Throws Error when the parameters are not acceptable or memory runs out. Blocks for
// about 50-80 ms with restic's parameters and two threads. Uses up to `threads` threads (0 means 1)
// and N * r * 64 bytes for each lane run at the same time; lanes run together as long as that stays
// within 64 MiB. Intermediate memory is wiped or given back to the kernel, which clears it.
// Thread-safe.
void scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters, MutableBytes out,
            unsigned threads);

// restic's default: N 32768, r 8, and p so high that *restic* would take about `target_ms` on this
// machine (estimated from a sample of some 10 ms); 4 <= p <= 16. So new keys made by Salvor are as
// strong as restic's although we open them faster.
[[nodiscard]] ScryptParameters calibrated_scrypt_parameters(unsigned target_ms = 500);

}  // namespace salvor
